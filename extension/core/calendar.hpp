// Calendar arithmetic in UTC.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/instant.hpp"

namespace billing {

enum class Unit { day, week, month, year };
std::optional<Unit> parse_unit(std::string_view name);  // day, week, month, year

// `count` units after (or, negative, before) `from`. The day of the month is kept, or becomes the month's
// last: a month after January 31 is February 28 or 29. Months therefore don't add up: count from where the
// cycle is anchored. What is out of range ends at kBeginningOfTime or kEndOfTime.
// https://docs.stripe.com/billing/subscriptions/billing-cycle
Seconds add_units(Seconds from, Unit unit, std::int64_t count);

// How long a unit is on average, for comparing rates; a year is exactly twelve months.
Seconds nominal_length(Unit unit);

}  // namespace billing
