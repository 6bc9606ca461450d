// Sends the served account's webhooks, each signed anew, and again until they are acknowledged: as Stripe
// does, only sooner.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <deque>
#include <string>

#include "worker/simulation/api/shop.hpp"

namespace billing::simulation {

class Sender {
 public:
  Sender(boost::asio::io_context& io, Shop& shop, std::chrono::seconds give_up, bool allow_remote)
      : io_(io), shop_(shop), give_up_(give_up), allow_remote_(allow_remote) {}

  void send(const Emitted& event, const std::string& target);

 private:
  struct Letter {
    std::string event, payload, target;
    std::chrono::steady_clock::time_point first;
    int attempts = 0;
  };

  void start();
  boost::asio::awaitable<void> work();
  boost::asio::awaitable<bool> post(const Target& target, const std::string& payload);
  boost::asio::awaitable<void> send_later(Letter letter);

  boost::asio::io_context& io_;
  Shop& shop_;
  std::chrono::seconds give_up_;
  bool allow_remote_;
  std::deque<Letter> letters_;
  int working_ = 0;
};

}  // namespace billing::simulation
