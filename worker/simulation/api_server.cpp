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
#include "worker/simulation/random.hpp"
#include "worker/text.hpp"

namespace billing::simulation {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;

namespace {

using Request = http::request<http::string_body>;
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

Response respond(const Request& request, const ApiAnswer& answer, Seconds now, Random& random) {
  Response response(static_cast<http::status>(answer.status), request.version());
  response.set(http::field::content_type, "application/json");
  response.set(http::field::date, http_date(now));
  response.set("Request-Id", random.id("req_"));
  response.set("Stripe-Version", request["Stripe-Version"]);
  response.keep_alive(request.keep_alive());
  response.body() = answer.body.dump(2);
  response.prepare_payload();
  return response;
}

ApiAnswer fault(Random& random) {
  if (random.chance(0.5))
    return {
        429,
        {{"error",
          {{"type", "invalid_request_error"}, {"code", "rate_limit"}, {"message", "Too many requests."}}}}};
  return {500, {{"error", {{"type", "api_error"}, {"message", "An unknown error occurred."}}}}};
}

asio::awaitable<void> converse(tcp::socket socket, const Books& books, double faults, Random random) {
  beast::flat_buffer buffer;
  for (;;) {
    Request request;
    const auto [error, size] =
        co_await http::async_read(socket, buffer, request, asio::as_tuple(asio::use_awaitable));
    if (error) co_return;
    const bool goes_wrong = random.chance(faults);
    // Every third fault is a connection that breaks before the answer.
    if (goes_wrong && random.chance(0.33)) co_return;
    const ApiAnswer answer = goes_wrong ? fault(random)
                                        : answer_api(books, request.method_string(), request.target(),
                                                     request[http::field::authorization]);
    const Response response = respond(request, answer, books.now(), random);
    const auto [failure, sent] =
        co_await http::async_write(socket, response, asio::as_tuple(asio::use_awaitable));
    if (failure || !response.keep_alive()) co_return;
  }
}

}  // namespace

ApiServer::ApiServer(const ServeOptions& options, const Books& books)
    : options_(options), books_(books), acceptor_(io_) {
  const tcp::endpoint endpoint = endpoint_of(options_.address);
  boost::system::error_code error;
  acceptor_.open(endpoint.protocol());
  acceptor_.set_option(tcp::acceptor::reuse_address(true));
  acceptor_.bind(endpoint, error);
  if (error)
    throw worker::ConfigError("--serve: cannot listen on " + options_.address + ": " + error.message(),
                              "choose another port; 0 takes any");
  acceptor_.listen();
  accept();
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
      asio::co_spawn(
          io_, converse(std::move(socket), books_, options_.faults, Random(options_.seed, ++connections_)),
          asio::detached);
    accept();
  });
}

}  // namespace billing::simulation
