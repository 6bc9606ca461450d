// The comparison with Stripe's API on a timer: as often as PG_BILLING_RECONCILE_EVERY says, by one worker.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

#include "worker/reconcile/reconciliation.hpp"
#include "worker/runtime.hpp"

namespace billing::reconcile {

class Timer {
 public:
  // Does nothing without a client, or when the setting is 0.
  Timer(worker::Runtime& runtime, stripe::Client* client);
  void start();

 private:
  boost::asio::awaitable<void> run();

  worker::Runtime& runtime_;
  stripe::Client* client_;
  boost::asio::steady_timer timer_;
};

}  // namespace billing::reconcile
