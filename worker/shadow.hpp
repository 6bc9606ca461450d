// Beside another system: asks the database again and again what that one says otherwise, and tells of what
// stays so.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <compare>
#include <optional>
#include <set>
#include <string>

#include "worker/backoff.hpp"
#include "worker/complaints.hpp"
#include "worker/runtime.hpp"
#include "worker/store.hpp"

namespace billing::worker {

// A row of compare_billing_state().
struct Difference {
  std::string user_id;
  std::string field;
  std::optional<std::string> theirs;
  std::optional<std::string> ours;
  auto operator<=>(const Difference&) const = default;
};
using Differences = std::set<Difference>;

// What two looks in a row found. The two systems hear of the same thing at different times, and one look
// alone would tell of whatever one of them was about to write.
class StandingDifferences {
 public:
  struct News {
    Differences appeared;
    Differences gone;
  };
  News look(Differences found);
  const Differences& standing() const { return standing_; }

 private:
  Differences last_;
  Differences standing_;
};

class Shadow {
 public:
  explicit Shadow(Runtime& runtime);
  // Runs for ever; does nothing while the configuration has nothing to compare with.
  void start();

 private:
  boost::asio::awaitable<void> run();
  boost::asio::awaitable<void> compare();
  void tell(const StandingDifferences::News& news) const;

  Runtime& runtime_;
  Store store_;
  boost::asio::steady_timer timer_;
  Backoff reconnect_{std::chrono::milliseconds(250), std::chrono::milliseconds(5000)};
  StandingDifferences differences_;
  Complaints complaints_{runtime_.metrics};
};

}  // namespace billing::worker
