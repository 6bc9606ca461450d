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
  bool sent = false;  // whether anything of the request left
};

class Transfers {
 public:
  explicit Transfers(boost::asio::io_context& io);

  // Certificates and host names are always verified.
  boost::asio::awaitable<HttpResponse> perform(HttpRequest request);

 private:
  struct Transfer;
  struct Watch;

  // What requests need, and so have for as long as one is on its way: also when it is the event loop that
  // ends them, after this object.
  struct Loop {
    explicit Loop(boost::asio::io_context& io);
    ~Loop();
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    static int on_socket(CURL* easy, curl_socket_t socket, int what, void* self, void* unused);
    static int on_timer(CURLM* multi, long milliseconds, void* self);
    void watch(const std::shared_ptr<Watch>& watch, bool reading);
    void act(curl_socket_t socket, int events);

    boost::asio::io_context& io;
    boost::asio::steady_timer timer;
    CURLM* multi;
    std::map<curl_socket_t, std::shared_ptr<Watch>> watches;
  };

  static boost::asio::awaitable<HttpResponse> perform(std::shared_ptr<Loop> loop, HttpRequest request);

  std::shared_ptr<Loop> loop_;
};

}  // namespace billing::stripe
