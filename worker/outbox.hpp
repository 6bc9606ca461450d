// Performs what the extension's outbox (stripe_requests) wants of Stripe, once each, and hands the answers
// back. Needs a secret key.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/json.hpp"
#include "worker/backoff.hpp"
#include "worker/complaints.hpp"
#include "worker/runtime.hpp"
#include "worker/store.hpp"
#include "worker/stripe/client.hpp"

namespace billing::worker {

// What finish_stripe_request() keeps of an answer: without members that are secrets.
Json kept_answer(const stripe::Answer& answer);
// The fetch by which the object in an answer is applied; nothing when it is of no type that the mirror has.
std::optional<std::string> answer_payload(const stripe::Answer& answer, const Store::StripeRequest& request);

class Outbox {
 public:
  // `client`: none without a key; then nothing is performed.
  Outbox(Runtime& runtime, stripe::Client* client);
  // Runs for ever.
  void start();
  // Waits until a request has been performed, which it is at once, by this worker or another, and returns its
  // row as stripe_request() does; nothing when that takes longer than `limit`.
  boost::asio::awaitable<std::optional<Json>> perform(std::string request_id,
                                                      std::chrono::milliseconds limit);
  // Whether something is being sent, or its answer not stored yet.
  bool busy() const { return sending_ > 0 || !answers_.empty(); }

 private:
  struct Answered {
    Store::StripeRequest request;
    stripe::Answer answer;
  };
  struct Waiter {
    boost::asio::steady_timer timer;
    std::optional<Json> row;
  };

  boost::asio::awaitable<void> run();
  boost::asio::awaitable<bool> open();
  boost::asio::awaitable<bool> round();
  boost::asio::awaitable<void> rest(std::chrono::milliseconds time);
  boost::asio::awaitable<void> send(Store::StripeRequest request);
  boost::asio::awaitable<void> store_answers();
  boost::asio::awaitable<void> push_usage();
  boost::asio::awaitable<void> look_for_waiters();
  void give_to_waiters(const std::string& request_id, const Reply& row);
  void tell(const Answered& answered, const std::string& outcome);

  Runtime& runtime_;
  stripe::Client* client_;
  Store store_;
  boost::asio::steady_timer timer_;
  Backoff reconnect_{std::chrono::milliseconds(250), std::chrono::milliseconds(5000)};
  std::size_t sending_ = 0;
  std::deque<Answered> answers_;
  std::multimap<std::string, Waiter*> waiters_;
  bool woken_ = false;
  Clock::time_point usage_pushed_{};
  Complaints complaints_{runtime_.metrics};
};

}  // namespace billing::worker
