#include "worker/simulation/api_server.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <charconv>
#include <ctime>

#include "worker/config.hpp"
#include "worker/simulation/api/answering.hpp"
#include "worker/simulation/api/control.hpp"
#include "worker/simulation/api/hosted_page.hpp"
#include "worker/simulation/api/routes.hpp"
#include "worker/text.hpp"

namespace billing::simulation {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;

namespace {

using Response = http::response<http::string_body>;

tcp::endpoint endpoint_of(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  std::uint16_t port = 0;
  boost::system::error_code error;
  const asio::ip::address host = asio::ip::make_address(address.substr(0, colon), error);
  const char* end = address.data() + address.size();
  const char* digits = colon == std::string::npos ? end : address.data() + colon + 1;
  if (error || digits == end || std::from_chars(digits, end, port).ptr != end)
    throw worker::ConfigError("--serve is " + worker::json_string(address) + ", not an address and a port",
                              "write 127.0.0.1:12111; port 0 takes any");
  if (!host.is_loopback())
    throw worker::ConfigError("--serve: " + host.to_string() + " is reached from other machines",
                              "this account is made up: serve it on 127.0.0.1");
  return {host, port};
}

std::string http_date(Seconds now) {
  const std::time_t time = static_cast<std::time_t>(now);
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[64];
  std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return text;
}

Response respond(const http::request<http::string_body>& request, const ApiRequest& asked,
                 const ApiAnswer& answer, Seconds now) {
  Response response(static_cast<http::status>(answer.status), request.version());
  response.set(http::field::content_type, answer.content_type);
  response.set(http::field::date, http_date(now));
  response.set(http::field::cache_control, "no-cache, no-store");
  response.set("Request-Id", asked.id);
  const auto version = request["Stripe-Version"];
  response.set("Stripe-Version", version.empty() ? std::string(kClover.name) : std::string(version));
  if (!asked.idempotency_key.empty() && asked.method == "POST")
    response.set("Idempotency-Key", asked.idempotency_key);
  for (const auto& [name, value] : answer.headers) response.set(name, value);
  response.keep_alive(request.keep_alive());
  response.body() = answer.body;
  response.prepare_payload();
  return response;
}

}  // namespace

ApiServer::ApiServer(const ServeOptions& options, Books& books, Journal& journal)
    : options_(options),
      books_(books),
      acceptor_(io_),
      ticker_(io_),
      shop_(books, journal, options.seed, options.livemode),
      faults_(options.faults),
      sender_(io_, shop_, options.give_up, options.allow_remote) {
  const tcp::endpoint endpoint = endpoint_of(options_.address);
  boost::system::error_code error;
  acceptor_.open(endpoint.protocol());
  acceptor_.set_option(tcp::acceptor::reuse_address(true));
  acceptor_.bind(endpoint, error);
  if (error)
    throw worker::ConfigError("--serve: cannot listen on " + options_.address + ": " + error.message(),
                              "choose another port; 0 takes any");
  acceptor_.listen();
  shop_.set_url(url());
  shop_.on_send([this](const Emitted& event, const std::string& target) { sender_.send(event, target); });
  if (!options_.post_url.empty())
    shop_.targets()[kPostTarget] = {options_.post_url, options_.post_secret, {"*"}, true};
  furnish(shop_);
  accept();
  tick();
  thread_ = std::thread([this] { io_.run(); });
}

ApiServer::~ApiServer() {
  io_.stop();
  thread_.join();
}

std::string ApiServer::url() const {
  const tcp::endpoint endpoint = acceptor_.local_endpoint();
  const std::string host = endpoint.address().to_string();
  return "http://" + (endpoint.address().is_v6() ? "[" + host + "]" : host) + ":" +
         std::to_string(endpoint.port());
}

void ApiServer::wait() {
  asio::io_context io;
  asio::signal_set signals(io, SIGINT, SIGTERM);
  signals.async_wait([](const boost::system::error_code&, int) {});
  io.run();
}

void ApiServer::accept() {
  acceptor_.async_accept([this](const boost::system::error_code& error, tcp::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (!error)
      asio::co_spawn(io_, converse(std::move(socket), Random(options_.seed, ++connections_)), asio::detached);
    accept();
  });
}

// What falls due while nobody asks: trials end, sessions expire.
void ApiServer::tick() {
  ticker_.expires_after(std::chrono::seconds(1));
  ticker_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    shop_.run_due();
    tick();
  });
}

asio::awaitable<std::optional<ApiAnswer>> ApiServer::answer(ApiRequest request, Random& random) {
  if (request.target.starts_with(kControl)) co_return answer_control(shop_, faults_, request);
  shop_.run_due();
  if (!request.target.starts_with("/v1/"))
    if (auto page = answer_page(shop_, request)) co_return page;
  const Fault fault = faults_.draw(request, random);
  if (fault.kind == FaultKind::broken) co_return std::nullopt;
  if (fault.kind == FaultKind::error || fault.kind == FaultKind::rate_limit) co_return answer_of(fault);
  std::optional<ApiAnswer> answer = idempotency_.begin(request, shop_.now());
  if (fault.kind == FaultKind::slow) {
    asio::steady_timer timer(io_, std::chrono::seconds(fault.seconds));
    co_await timer.async_wait(asio::use_awaitable);
  }
  if (!answer) {
    answer = answer_api(shop_, request);
    idempotency_.finish(request, *answer);
  }
  if (fault.kind == FaultKind::lost) co_return std::nullopt;
  co_return answer;
}

asio::awaitable<void> ApiServer::converse(tcp::socket socket, Random random) {
  beast::flat_buffer buffer;
  for (;;) {
    HttpRequest request;
    const auto [error, size] =
        co_await http::async_read(socket, buffer, request, asio::as_tuple(asio::use_awaitable));
    if (error) co_return;
    ApiRequest asked;
    asked.method = request.method_string();
    asked.target = request.target();
    asked.authorization = request[http::field::authorization];
    asked.idempotency_key = request["Idempotency-Key"];
    asked.body = request.body();
    asked.id = random.id("req_");
    const std::optional<ApiAnswer> answered = co_await answer(asked, random);
    if (!answered) co_return;
    const Response response = respond(request, asked, *answered, books_.now());
    const auto [failure, sent] =
        co_await http::async_write(socket, response, asio::as_tuple(asio::use_awaitable));
    if (failure || !response.keep_alive()) co_return;
  }
}

}  // namespace billing::simulation
