#include "worker/stripe/client.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <cmath>
#include <ctime>

#include "worker/stripe/form.hpp"
#include "worker/stripe/retry.hpp"

namespace billing::stripe {

namespace asio = boost::asio;

namespace {

std::string header(const HttpResponse& response, const char* name) {
  const auto found = response.headers.find(name);
  return found == response.headers.end() ? "" : found->second;
}

// A number of seconds; the form with a date is rare enough to be left to the usual wait.
std::optional<std::chrono::seconds> retry_after(const HttpResponse& response) {
  const std::string text = header(response, "retry-after");
  std::int64_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() || seconds < 0) return std::nullopt;
  return std::chrono::seconds(seconds);
}

std::optional<bool> should_retry(const HttpResponse& response) {
  const std::string text = header(response, "stripe-should-retry");
  if (text == "true") return true;
  if (text == "false") return false;
  return std::nullopt;
}

ApiError error_of(const HttpResponse& response, const Json& body) {
  const Json& told = at(body, "error");
  const auto member = [&](const char* name) { return text_of(told, name).value_or(""); };
  ApiError error{member("type"), member("code"), member("decline_code"), member("param"), member("message")};
  if (response.status == 0) error = {"connection_error", "", "", "", response.error};
  if (error.type.empty()) error.type = "unreadable_answer";
  if (error.message.empty()) error.message = "status " + std::to_string(response.status);
  return error;
}

// The answer's Date less the time that it took, and a second for what Date leaves out.
std::optional<Seconds> read_after(const HttpResponse& response, std::chrono::steady_clock::duration took) {
  const time_t date = curl_getdate(header(response, "date").c_str(), nullptr);
  if (date < 0) return std::nullopt;
  const double seconds = std::ceil(std::chrono::duration<double>(took).count());
  return static_cast<Seconds>(date) - static_cast<Seconds>(seconds) - 1;
}

Answer answer_from(const HttpResponse& response, std::chrono::steady_clock::duration took) {
  Answer answer;
  answer.status = response.status;
  answer.request_id = header(response, "request-id");
  answer.read_after = read_after(response, took);
  answer.body = Json::parse(response.body, nullptr, false);
  if (response.status < 200 || response.status >= 300 || !answer.body.is_object())
    answer.error = error_of(response, answer.body);
  return answer;
}

}  // namespace

std::string make_idempotency_key() {
  std::random_device random;
  std::string key = "pgb_";
  for (int i = 0; i < 4; ++i) {
    char part[9];
    std::snprintf(part, sizeof part, "%08x", random());
    key += part;
  }
  return key;
}

Client::Client(asio::io_context& io, ClientOptions options, std::shared_ptr<RateLimit> rate)
    : io_(io),
      options_(std::move(options)),
      transfers_(io),
      rate_(rate ? std::move(rate) : std::make_shared<RateLimit>(options_.requests_per_second)) {}

asio::awaitable<void> Client::pause(std::chrono::steady_clock::duration time) {
  asio::steady_timer timer(io_, time);
  co_await timer.async_wait(asio::use_awaitable);
}

asio::awaitable<Answer> Client::call(Call call) {
  if (call.method == "POST" && call.idempotency_key.empty()) call.idempotency_key = make_idempotency_key();
  const auto until = std::chrono::steady_clock::now() + options_.whole_limit;
  bool in_doubt = false;
  for (Attempt attempt{};; ++attempt.number) {
    if (const auto wait = rate_->take(std::chrono::steady_clock::now()); wait.count() > 0)
      co_await pause(wait);
    const auto began = std::chrono::steady_clock::now();
    const HttpResponse response = co_await transfers_.perform(request_of(call));
    Answer answer = answer_from(response, std::chrono::steady_clock::now() - began);
    answer.attempts = attempt.number;
    in_doubt =
        in_doubt || (response.status == 0 ? response.sent : response.status >= 500 || response.status == 409);
    answer.in_doubt = in_doubt && !answer.ok();
    attempt.status = answer.status;
    attempt.should_retry = should_retry(response);
    attempt.retry_after = retry_after(response);
    const auto wait =
        answer.ok() ? std::nullopt
                    : retry_in(attempt, std::uniform_real_distribution<>()(random_), options_.first_wait);
    if (!wait || std::chrono::steady_clock::now() + *wait >= until) co_return answer;
    co_await pause(*wait);
  }
}

HttpRequest Client::request_of(const Call& call) const {
  HttpRequest request;
  request.method = call.method;
  request.url = options_.base + call.path;
  request.limit = options_.limit;
  request.certificates = options_.certificates;
  const std::string form = encode_form(call.parameters);
  if (call.method == "POST")
    request.body = form;
  else if (!form.empty())
    request.url += (call.path.find('?') == std::string::npos ? '?' : '&') + form;
  request.headers = {"Authorization: Bearer " + options_.secret_key,
                     std::string("Stripe-Version: ") + kApiVersion,
                     "User-Agent: pg_billing/" PG_BILLING_VERSION, "Expect:"};
  if (call.method == "POST") request.headers.push_back("Content-Type: application/x-www-form-urlencoded");
  if (!call.idempotency_key.empty() && call.method != "GET")
    request.headers.push_back("Idempotency-Key: " + call.idempotency_key);
  if (!call.account.empty()) request.headers.push_back("Stripe-Account: " + call.account);
  return request;
}

asio::awaitable<Answer> Client::list(Call call, std::function<asio::awaitable<bool>(Json)> take) {
  call.parameters.emplace("limit", 100);
  for (;;) {
    Answer answer = co_await this->call(call);
    const Json& page = at(answer.body, "data");
    if (!answer.ok() || !page.is_array()) co_return answer;
    std::string last;
    for (const Json& object : page) {
      last = text_of(object, "id").value_or("");
      if (!co_await take(object)) co_return answer;
    }
    // Without an id to go on from the next page would be this one again.
    if (!flag_of(answer.body, "has_more") || last.empty()) co_return answer;
    call.parameters["starting_after"] = last;
  }
}

}  // namespace billing::stripe
