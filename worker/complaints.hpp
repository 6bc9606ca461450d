// Statements of the worker's own that failed: counted each, told now and then.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "worker/metrics.hpp"
#include "worker/store.hpp"

namespace billing::worker {

class Complaints {
 public:
  explicit Complaints(Metrics& metrics) : metrics_(metrics) {}
  // Nothing when the reply is good. `task` is the function that was called.
  void note(const char* task, const Reply& reply);

 private:
  using Clock = std::chrono::steady_clock;
  Metrics& metrics_;
  std::map<std::string, Clock::time_point> last_;  // by task
};

}  // namespace billing::worker
