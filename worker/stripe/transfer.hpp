// HTTP requests by libcurl on the event loop: any number at once, connections kept, never a redirect.
#pragma once

#include <curl/curl.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace billing::stripe {

struct HttpRequest {
  std::string method = "GET";
  std::string url;
  std::vector<std::string> headers;  // "Name: value"
  std::string body;                  // sent unless empty
  std::string certificates;          // PEM file to trust in place of the system's; "" = the system's
  std::chrono::milliseconds limit{};
};

struct HttpResponse {
  int status = 0;                              // 0: none came
  std::map<std::string, std::string> headers;  // by lower-case name
  std::string body;
  std::string error;  // why none came
};

class Transfers {
 public:
  explicit Transfers(boost::asio::io_context& io);
  ~Transfers();
  Transfers(const Transfers&) = delete;
  Transfers& operator=(const Transfers&) = delete;

  // Certificates and host names are always verified.
  boost::asio::awaitable<HttpResponse> perform(HttpRequest request);

 private:
  struct Transfer;
  struct Watch;

  static int on_socket(CURL* easy, curl_socket_t socket, int what, void* self, void* unused);
  static int on_timer(CURLM* multi, long milliseconds, void* self);
  void watch(const std::shared_ptr<Watch>& watch, bool reading);
  void act(curl_socket_t socket, int events);

  boost::asio::io_context& io_;
  boost::asio::steady_timer timer_;
  CURLM* multi_;
  std::map<curl_socket_t, std::shared_ptr<Watch>> watches_;
};

}  // namespace billing::stripe
