// Performs what the extension's outbox wants of Stripe.
#include "worker/outbox.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "core/fetch.hpp"
#include "worker/log.hpp"
#include "worker/stripe/resource.hpp"

namespace billing::worker {

namespace asio = boost::asio;

namespace {

constexpr auto kPoll = std::chrono::seconds(1);
// While somebody waits for what another worker performs.
constexpr auto kWatch = std::chrono::milliseconds(50);
constexpr auto kUsage = std::chrono::seconds(60);
constexpr std::size_t kAtOnce = 16;

void remove_secrets(Json& value) {
  if (value.is_object()) {
    value.erase("secret");
    value.erase("client_secret");
  }
  if (value.is_structured())
    for (Json& member : value) remove_secrets(member);
}

// A wrong key is a person's to mend, and 429 says that nothing was done: both are sent again. What Stripe
// refuses otherwise it refuses for ever.
bool is_final(const stripe::Answer& answer) {
  if (answer.ok()) return true;
  const int status = answer.status;
  return status >= 400 && status < 500 && status != 401 && status != 403 && status != 409 && status != 429;
}

Json error_json(const stripe::ApiError& error) {
  Json kept = Json::object();
  const auto add = [&](const char* name, const std::string& text) {
    if (!text.empty()) kept[name] = text;
  };
  add("type", error.type);
  add("code", error.code);
  add("decline_code", error.decline_code);
  add("param", error.param);
  add("message", error.message);
  return kept;
}

}  // namespace

Json kept_answer(const stripe::Answer& answer) {
  Json kept = {{"status", answer.status}, {"request_id", answer.request_id}, {"body", answer.body}};
  remove_secrets(kept["body"]);
  if (answer.error) kept["error"] = error_json(*answer.error);
  return kept;
}

std::optional<std::string> answer_payload(const stripe::Answer& answer, const Store::StripeRequest& request) {
  const Json& object = answer.body;
  const std::string type = text_of(object, "object").value_or("");
  const std::string id = text_of(object, "id").value_or("");
  // A preview of an invoice is none.
  if (!answer.ok() || !answer.read_after || id.empty() || id.starts_with("upcoming") ||
      stripe::find_resource(type) == nullptr)
    return std::nullopt;
  Fetch fetch;
  fetch.id = request.fetch_id;
  fetch.began = *answer.read_after;
  fetch.api_version = stripe::kApiVersion;
  fetch.account = request.account;
  fetch.livemode = request.livemode;
  fetch.object = object;
  return fetch_payload(fetch);
}

Outbox::Outbox(Runtime& runtime, stripe::Client* client)
    : runtime_(runtime),
      client_(client),
      store_(runtime.io, runtime.config->connection, runtime.config->schema),
      timer_(runtime.io) {}

void Outbox::start() {
  if (client_ != nullptr) asio::co_spawn(runtime_.io, run(), asio::detached);
}

asio::awaitable<void> Outbox::run() {
  for (;;) {
    std::chrono::milliseconds wait = waiters_.empty() ? std::chrono::milliseconds(kPoll) : kWatch;
    bool more = false;
    try {
      // What has been sent is stored before the worker ends.
      if (runtime_.draining && !busy())
        store_.close();
      else if (!co_await open())
        wait = reconnect_.next();
      else
        more = co_await round();
    } catch (const std::exception& error) {
      log::Line(log::Level::error, "outbox_failed").add("error", error.what());
      store_.close();
    }
    if (!more) co_await rest(wait);
  }
}

asio::awaitable<bool> Outbox::open() {
  if (store_.is_open()) co_return true;
  if (co_await store_.open()) co_return false;
  reconnect_.reset();
  const Reply listening = co_await store_.listen("pg_billing_requests");
  if (!listening.ok()) complaints_.note("listen", listening);
  co_return store_.is_open();
}

// Until the time has passed, the database calls, an answer has come or somebody waits.
asio::awaitable<void> Outbox::rest(std::chrono::milliseconds time) {
  if (std::exchange(woken_, false) || (store_.is_open() && !answers_.empty())) co_return;
  co_await store_.rest(timer_, time);
}

// True when there may be more at once.
asio::awaitable<bool> Outbox::round() {
  woken_ = false;
  co_await store_answers();
  if (!store_.is_open() || runtime_.draining || sending_ >= kAtOnce) co_return false;
  co_await push_usage();
  store_.take_notified();
  const std::size_t rows = kAtOnce - sending_;
  const Reply claimed = co_await store_.claim_requests(rows);
  complaints_.note("claim_stripe_requests", claimed);
  if (!claimed.ok()) co_return false;
  const std::vector<Store::StripeRequest> requests = Store::stripe_requests(claimed);
  for (const Store::StripeRequest& request : requests) {
    ++sending_;
    asio::co_spawn(runtime_.io, send(request), asio::detached);
  }
  co_await look_for_waiters();
  co_return requests.size() == rows;
}

asio::awaitable<void> Outbox::push_usage() {
  if (Clock::now() - usage_pushed_ < kUsage) co_return;
  usage_pushed_ = Clock::now();
  complaints_.note("push_stripe_usage", co_await store_.push_usage());
}

asio::awaitable<void> Outbox::send(Store::StripeRequest request) {
  stripe::Call call;
  call.method = request.method;
  call.path = request.path;
  call.parameters = request.parameters;
  call.idempotency_key = request.id;
  call.account = request.account;
  Answered answered;
  try {
    answered.answer = co_await client_->call(std::move(call));
  } catch (const std::exception& error) {
    answered.answer.error = {"connection_error", "", "", "", error.what()};
    answered.answer.in_doubt = true;
  }
  answered.request = std::move(request);
  --sending_;
  answers_.push_back(std::move(answered));
  woken_ = true;
  store_.wake();
  timer_.cancel();
}

// What cannot be stored stays here for the next round; if the worker dies before, it is sent again with the
// same key.
asio::awaitable<void> Outbox::store_answers() {
  while (store_.is_open() && !answers_.empty()) {
    const Answered& answered = answers_.front();
    const bool final = is_final(answered.answer);
    // Not a conditional expression: GCC 12 destroys what is in a co_await there twice.
    Reply reply;
    if (final) {
      std::optional<std::string> payload = answer_payload(answered.answer, answered.request);
      reply = co_await store_.finish_request(answered.request.id, kept_answer(answered.answer),
                                             std::move(payload));
    } else {
      reply = co_await store_.postpone_request(answered.request.id, error_json(*answered.answer.error),
                                               !answered.answer.in_doubt);
    }
    complaints_.note(final ? "finish_stripe_request" : "postpone_stripe_request", reply);
    if (!reply.ok() && (reply.lost || fault_of(reply.error->sqlstate) == Fault::system)) co_return;
    tell(answered, !reply.ok()            ? "not_stored"
                   : !final               ? "postponed"
                   : answered.answer.ok() ? "succeeded"
                                          : "failed");
    if (final) give_to_waiters(answered.request.id, reply);
    answers_.pop_front();
  }
}

void Outbox::tell(const Answered& answered, const std::string& outcome) {
  ++runtime_.metrics.stripe_requests[outcome];
  log::Line line(outcome == "succeeded" ? log::Level::info : log::Level::warning, "stripe_request");
  line.add("request_id", answered.request.id)
      .add("purpose", answered.request.purpose)
      .add("outcome", outcome)
      .add("status", static_cast<std::uint64_t>(answered.answer.status))
      .add("stripe_request_id", answered.answer.request_id);
  if (answered.answer.error) line.add("error", answered.answer.error->message);
}

asio::awaitable<std::optional<Json>> Outbox::perform(std::string request_id,
                                                     std::chrono::milliseconds limit) {
  if (client_ == nullptr) co_return std::nullopt;
  Waiter waiter{asio::steady_timer(runtime_.io, limit), std::nullopt};
  // Also when whoever waits goes away.
  struct Place {
    std::multimap<std::string, Waiter*>& all;
    std::multimap<std::string, Waiter*>::iterator mine;
    ~Place() { all.erase(mine); }
  };
  const Place place{waiters_, waiters_.emplace(std::move(request_id), &waiter)};
  woken_ = true;
  store_.wake();
  timer_.cancel();
  co_await waiter.timer.async_wait(asio::as_tuple(asio::use_awaitable));
  co_return std::move(waiter.row);
}

void Outbox::give_to_waiters(const std::string& request_id, const Reply& row) {
  if (!row.ok() || row.rows.size() != 1 || !row.rows[0].at(0)) return;
  Json read = Json::parse(*row.rows[0][0], nullptr, false);
  if (!read.is_object()) return;
  const std::string status = text_of(read, "status").value_or("");
  if (status == "pending") return;
  const auto [first, last] = waiters_.equal_range(request_id);
  for (auto it = first; it != last; ++it) {
    it->second->row = read;
    it->second->timer.cancel();
  }
}

// Of those that another worker performs, or that were performed before anybody waited.
asio::awaitable<void> Outbox::look_for_waiters() {
  std::vector<std::string> ids;
  for (const auto& [id, waiter] : waiters_)
    if (!waiter->row && (ids.empty() || ids.back() != id)) ids.push_back(id);
  for (const std::string& id : ids) {
    if (!store_.is_open()) co_return;
    const Reply row = co_await store_.stripe_request(id);
    complaints_.note("stripe_request", row);
    give_to_waiters(id, row);
  }
}

}  // namespace billing::worker
