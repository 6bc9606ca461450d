// The simulated account's API: answers as Stripe's would, also with what goes wrong now and then.
// https://docs.stripe.com/api
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <string>
#include <thread>

#include "worker/simulation/books.hpp"

namespace billing::simulation {

struct ServeOptions {
  std::string address;  // host:port; "" = nothing is served
  double faults = 0;    // share of requests answered with 429 or 500, or not at all
  std::uint64_t seed = 1;
};

class ApiServer {
 public:
  // Listens at once; throws worker::ConfigError for an address that is none, or not this machine's own.
  ApiServer(const ServeOptions& options, const Books& books);
  ~ApiServer();
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  // http://127.0.0.1:12111
  std::string url() const;
  // Until SIGINT or SIGTERM.
  void wait();

 private:
  void accept();

  ServeOptions options_;
  const Books& books_;
  boost::asio::io_context io_{1};
  boost::asio::ip::tcp::acceptor acceptor_;
  std::uint64_t connections_ = 0;
  std::thread thread_;
};

// An answer to one request: pure, but for the books.
struct ApiAnswer {
  int status = 200;
  Json body;
};
// `target` is the path with its query.
ApiAnswer answer_api(const Books& books, std::string_view method, std::string_view target,
                     std::string_view authorization);

}  // namespace billing::simulation
