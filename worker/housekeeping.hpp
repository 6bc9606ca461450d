// What the worker does in the database besides webhooks, on a connection of its own: retries, the cache's
// refresh, the figures for /metrics, and the check behind /readyz.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "worker/backoff.hpp"
#include "worker/complaints.hpp"
#include "worker/runtime.hpp"
#include "worker/store.hpp"

namespace billing::worker {

class Housekeeping {
 public:
  explicit Housekeeping(Runtime& runtime);

  // Called once, after the first attempt to reach the database, with what it showed.
  using FirstLook = std::function<void(const std::optional<Problem>&)>;
  void start(FirstLook first_look);

  // Lets the figures in the metrics be read again if something happened since, and waits for that a moment.
  boost::asio::awaitable<void> renew_figures();

  // What the last check found, or that it is too long ago.
  std::optional<Problem> problem() const;
  const std::string& extension_version() const { return store_.extension_version(); }
  const std::string& mode() const { return mode_; }

 private:
  boost::asio::awaitable<void> run();
  boost::asio::awaitable<void> round();
  boost::asio::awaitable<void> rest(std::chrono::milliseconds time);
  boost::asio::awaitable<void> take_figures();
  boost::asio::awaitable<std::optional<Problem>> look();
  boost::asio::awaitable<void> retry();
  std::optional<Problem> mode_problem() const;
  std::optional<Problem> shadow_problem() const;

  Runtime& runtime_;
  Store store_;
  boost::asio::steady_timer timer_;
  FirstLook first_look_;
  Backoff reconnect_{std::chrono::milliseconds(250), std::chrono::milliseconds(5000)};
  std::optional<Problem> problem_ =
      Problem{"connecting", "the worker is connecting to the database", "ask again in a moment"};
  std::string mode_;
  bool notifications_ = true;
  Clock::time_point last_look_ = Clock::now();
  Clock::time_point figures_taken_{};
  Clock::time_point looked_for_due_{};
  std::uint64_t figures_events_ = 0;  // events handled when they were taken
  bool figures_wanted_ = false;
  Complaints complaints_{runtime_.metrics};
};

}  // namespace billing::worker
