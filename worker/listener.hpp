// Accepts connections on every configured address; who gets them says what becomes of them.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <functional>
#include <list>
#include <string>
#include <vector>

#include "worker/transport.hpp"

namespace billing::worker {

class Listener {
 public:
  using Reception = std::function<void(boost::asio::ip::tcp::socket, const TlsContext&)>;
  // What is said to other machines without TLS.
  enum class Plain { warned_of, refused };

  // `setting` is the one that holds the addresses, for messages.
  Listener(boost::asio::io_context& io, std::string setting, Plain plain, Reception reception);

  // Throws ConfigError when an address is not one or cannot be used. A port that is still taken is tried
  // again for `patience`: a predecessor may be about to end.
  void listen(const std::string& addresses, std::chrono::seconds patience);
  void use_tls(TlsContext context) { tls_ = std::move(context); }
  void start();
  void stop();

 private:
  using Acceptor = boost::asio::ip::tcp::acceptor;
  using Clock = std::chrono::steady_clock;

  std::vector<boost::asio::ip::tcp::endpoint> endpoints_of(const std::string& text) const;
  void open(const boost::asio::ip::tcp::endpoint& endpoint, Clock::time_point until);
  boost::asio::awaitable<void> accept(Acceptor& acceptor);

  boost::asio::io_context& io_;
  std::string setting_;
  Plain plain_;
  Reception reception_;
  TlsContext tls_;
  std::list<Acceptor> acceptors_;
};

}  // namespace billing::worker
