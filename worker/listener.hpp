// Accepts connections on every configured address, up to the limit.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "worker/session.hpp"

namespace billing::worker {

class Listener {
 public:
  Listener(Runtime& runtime, Batcher& batcher, const Pages& pages, std::shared_ptr<Sessions> sessions);

  // Throws ConfigError when an address is not one or cannot be used. A port that is still taken is tried
  // again for `patience`: a predecessor may be about to end.
  void listen(std::chrono::seconds patience);
  void use_tls(TlsContext context) { tls_ = std::move(context); }
  void start();
  void stop();

 private:
  using Acceptor = boost::asio::ip::tcp::acceptor;

  void open(const boost::asio::ip::tcp::endpoint& endpoint, Clock::time_point until);
  boost::asio::awaitable<void> accept(Acceptor& acceptor);
  void serve(boost::asio::ip::tcp::socket socket);
  void turn_away(boost::asio::ip::tcp::socket socket);

  Runtime& runtime_;
  Batcher& batcher_;
  const Pages& pages_;
  std::shared_ptr<Sessions> sessions_;
  TlsContext tls_;
  std::list<Acceptor> acceptors_;
};

}  // namespace billing::worker
