// The simulated account, served: its API, the pages on which payers act, its webhooks, and what goes wrong
// now and then. https://docs.stripe.com/api
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <string>
#include <thread>

#include "worker/simulation/api/faults.hpp"
#include "worker/simulation/api/idempotency.hpp"
#include "worker/simulation/api/sender.hpp"
#include "worker/simulation/api/shop.hpp"

namespace billing::simulation {

struct ServeOptions {
  std::string address;  // host:port; "" = nothing is served
  double faults = 0;    // share of requests answered with 429 or 500, or not at all
  std::uint64_t seed = 1;
  bool livemode = false;
  // Where every event made from now on is posted, beside the endpoints that are registered; "" = nowhere.
  std::string post_url, post_secret;
  std::chrono::seconds give_up{300};
  bool allow_remote = false;
};

// The name under which the journal knows the URL of the options.
inline constexpr const char* kPostTarget = "--post";

class ApiServer {
 public:
  // Listens at once; throws worker::ConfigError for an address that is none, or not this machine's own.
  ApiServer(const ServeOptions& options, Books& books, Journal& journal);
  ~ApiServer();
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  // http://127.0.0.1:12111
  std::string url() const;
  // Until SIGINT or SIGTERM.
  void wait();

 private:
  using HttpRequest = boost::beast::http::request<boost::beast::http::string_body>;

  void accept();
  void tick();
  boost::asio::awaitable<void> converse(boost::asio::ip::tcp::socket socket, Random random);
  // Nothing: the connection breaks.
  boost::asio::awaitable<std::optional<ApiAnswer>> answer(ApiRequest request, Random& random);

  ServeOptions options_;
  Books& books_;
  boost::asio::io_context io_{1};
  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer ticker_;
  Shop shop_;
  Faults faults_;
  Idempotency idempotency_;
  Sender sender_;
  std::uint64_t connections_ = 0;
  std::thread thread_;
};

}  // namespace billing::simulation
