#include "core/test_clock.hpp"

#include <algorithm>

namespace billing {

TestClock read_test_clock(const Json& object, bool deleted) {
  return {time_of(object, "frozen_time"), deleted};
}

std::string test_clock_of(const Json& object) { return id_of(object, "test_clock"); }

Seconds shown_by(const TestClock& clock, Seconds reached) {
  return std::max(clock.frozen_time.value_or(reached), reached);
}

}  // namespace billing
