// How often a user may read, in this worker's memory: a database that is asked less is the point of it.
#pragma once

#include <algorithm>
#include <chrono>
#include <string>
#include <unordered_map>

namespace billing::worker::api {

class Calls {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr int kMost = 300;  // a minute, and that many at once

  // 0 when the call is within the limit, else in how many seconds one will be.
  int take(const std::string& user, Clock::time_point now) {
    constexpr auto kEach = std::chrono::milliseconds(60000 / kMost);
    constexpr auto kBurst = std::chrono::minutes(1);
    if (next_.size() >= kMostUsers)
      std::erase_if(next_, [&](const auto& entry) { return entry.second <= now; });
    Clock::time_point& next = next_[user];
    const Clock::time_point begins = std::max(next, now);
    if (begins + kEach - now > kBurst)
      return 1 + static_cast<int>(
                     std::chrono::duration_cast<std::chrono::seconds>(begins + kEach - now - kBurst).count());
    next = begins + kEach;
    return 0;
  }

 private:
  static constexpr std::size_t kMostUsers = 100000;
  std::unordered_map<std::string, Clock::time_point> next_;
};

}  // namespace billing::worker::api
