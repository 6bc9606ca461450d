// How long to wait before the next attempt: twice as long each time, never two workers in step.
#pragma once

#include <algorithm>
#include <chrono>
#include <random>

namespace billing::worker {

class Backoff {
 public:
  using Milliseconds = std::chrono::milliseconds;

  Backoff(Milliseconds first, Milliseconds last) : first_(first), last_(last), next_(first) {}

  Milliseconds next() {
    std::uniform_int_distribution<Milliseconds::rep> jitter(next_.count() / 2, next_.count());
    next_ = std::min(next_ * 2, last_);
    return Milliseconds(jitter(random_));
  }
  void reset() { next_ = first_; }

 private:
  Milliseconds first_;
  Milliseconds last_;
  Milliseconds next_;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace billing::worker
