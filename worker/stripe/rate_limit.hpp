// So many requests a second on average, and no more at once than one second's.
// https://docs.stripe.com/rate-limits
#pragma once

#include <algorithm>
#include <chrono>

namespace billing::stripe {

class RateLimit {
 public:
  using Clock = std::chrono::steady_clock;

  explicit RateLimit(double per_second) : per_second_(per_second), tokens_(std::max(1.0, per_second)) {}

  // Takes a place in the queue; how long to wait for its turn. Places are given out in the order of the
  // calls.
  Clock::duration take(Clock::time_point now) {
    fill(now);
    tokens_ -= 1;
    if (tokens_ >= 0) return Clock::duration::zero();
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(-tokens_ / per_second_));
  }

 private:
  void fill(Clock::time_point now) {
    if (now > filled_) {
      const double seconds = std::chrono::duration<double>(now - filled_).count();
      tokens_ = std::min(std::max(1.0, per_second_), tokens_ + seconds * per_second_);
    }
    filled_ = std::max(filled_, now);
  }

  double per_second_;
  double tokens_;
  Clock::time_point filled_{};
};

}  // namespace billing::stripe
