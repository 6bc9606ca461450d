// Settles what only Stripe's API can: fetches the objects that the extension asks for, and hands them back as
// events. Needs a secret key.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <string>
#include <vector>

#include "worker/backoff.hpp"
#include "worker/complaints.hpp"
#include "worker/runtime.hpp"
#include "worker/store.hpp"
#include "worker/stripe/object_fetch.hpp"

namespace billing::worker {

class Refetch {
 public:
  // `client`: none without a key; then nothing is fetched.
  Refetch(Runtime& runtime, stripe::Client* client);
  // Runs for ever.
  void start();

 private:
  using Wanted = Store::WantedObject;

  boost::asio::awaitable<void> run();
  boost::asio::awaitable<bool> round();
  boost::asio::awaitable<void> look_for_more();
  boost::asio::awaitable<void> fetch_all(const std::vector<Wanted>& wanted,
                                         std::vector<stripe::FetchResult>& results);
  boost::asio::awaitable<void> store(const std::vector<Wanted>& wanted,
                                     const std::vector<stripe::FetchResult>& results);
  void tell(const Wanted& wanted, const std::string& outcome, const std::string& error);

  Runtime& runtime_;
  stripe::Client* client_;
  Store store_;
  boost::asio::steady_timer timer_;
  Backoff reconnect_{std::chrono::milliseconds(250), std::chrono::milliseconds(5000)};
  Clock::time_point looked_for_more_{};
  std::size_t fetching_ = 0;
  Complaints complaints_{runtime_.metrics};
};

}  // namespace billing::worker
