// A connection of ours to somebody else's HTTP server, plain or TLS: one request after another, never a
// redirect.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "worker/transport.hpp"

namespace billing::worker {

struct Destination {
  bool tls = true;
  std::string host;
  std::string port;
  std::string target;  // path and query

  bool is_loopback() const;
};
// Of an http:// or https:// URL without user and fragment; nothing when it is not one.
std::optional<Destination> parse_destination(const std::string& url);

// Trusts what the system trusts and, when named, the certificates of this PEM file. Throws ConfigError.
TlsContext load_client_tls(const std::string& certificates);

class Outbound {
 public:
  struct Answer {
    int status = 0;     // 0: none came
    std::string error;  // why not
    std::optional<std::chrono::seconds> retry_after;
  };
  using Headers = std::map<std::string, std::string>;

  // `tls` is used when the destination asks for it.
  Outbound(boost::asio::io_context& io, Destination destination, TlsContext tls);
  ~Outbound();
  Outbound(const Outbound&) = delete;
  Outbound& operator=(const Outbound&) = delete;

  // Connects when there is no connection, or it has ended since. `limit` is for all of it.
  boost::asio::awaitable<Answer> post(const Headers& headers, const std::string& body,
                                      std::chrono::milliseconds limit);

 private:
  class Stream;
  boost::asio::awaitable<std::string> connect(std::chrono::steady_clock::time_point until);
  boost::asio::awaitable<Answer> send(const Headers& headers, const std::string& body,
                                      std::chrono::steady_clock::time_point until);

  boost::asio::io_context& io_;
  Destination destination_;
  TlsContext tls_;
  std::unique_ptr<Stream> stream_;
};

}  // namespace billing::worker
