// Stripe's test clocks: a customer on one lives at the clock's time, which stands still until somebody
// advances it. https://docs.stripe.com/billing/testing/test-clocks
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "core/instant.hpp"
#include "core/json.hpp"

namespace billing {

inline constexpr std::string_view kTestClock = "test_helpers.test_clock";

struct TestClock {
  std::optional<Seconds> frozen_time;  // none: nobody has told yet
  bool deleted = false;                // and its customers with it
  bool operator==(const TestClock&) const = default;
};
using TestClocks = std::map<std::string, TestClock>;  // by id

// `object` is null for a clock that is only named by what is on it.
TestClock read_test_clock(const Json& object, bool deleted);

// The clock that a customer, a subscription or an invoice is on; "" for none.
std::string test_clock_of(const Json& object);

// What the clock shows at least: what it has told, or `reached`, by which Stripe has done something there.
Seconds shown_by(const TestClock& clock, Seconds reached);

}  // namespace billing
