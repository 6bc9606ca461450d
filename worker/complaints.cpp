#include "worker/complaints.hpp"

#include "worker/log.hpp"

namespace billing::worker {

void Complaints::note(const char* task, const Reply& reply) {
  constexpr auto kPause = std::chrono::minutes(1);
  if (reply.ok()) return;
  ++metrics_.housekeeping_failures[task];
  // A lost connection says so by itself; the same error every second need not be read every second.
  auto& last = last_[task];
  if (reply.lost || (last != Clock::time_point{} && Clock::now() - last < kPause)) return;
  last = Clock::now();
  log::Line(log::Level::error, "housekeeping_failed")
      .add("task", task)
      .add("sqlstate", reply.error->sqlstate)
      .add("error", reply.error->message)
      .add("next_step", reply.error->hint);
}

}  // namespace billing::worker
