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
    return Milliseconds(jitter(random()));
  }
  void reset() { next_ = first_; }

 private:
  // Seeded once: every batch has a backoff, and hardly any waits.
  static std::minstd_rand& random() {
    static thread_local std::minstd_rand generator{std::random_device{}()};
    return generator;
  }

  Milliseconds first_;
  Milliseconds last_;
  Milliseconds next_;
};

}  // namespace billing::worker
