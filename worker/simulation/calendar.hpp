// Billing periods by the calendar: a month after 31 January is 28 February, and 31 March after that.
#pragma once

#include <chrono>

#include "core/instant.hpp"

namespace billing::simulation {

inline constexpr Seconds kHour = 3600;
inline constexpr Seconds kDay = 86400;

inline Seconds add_months(Seconds time, int months) {
  using namespace std::chrono;
  const sys_seconds at{seconds(time)};
  const sys_days day = floor<days>(at);
  year_month_day date = year_month_day(day) + std::chrono::months(months);
  if (!date.ok()) date = date.year() / date.month() / last;
  return (sys_days(date) + (at - day)).time_since_epoch().count();
}

// The first end of a period, counted in steps of so many months from the anchor, that lies behind `after`.
inline Seconds next_end(Seconds anchor, int step, Seconds after) {
  int months = step;
  while (add_months(anchor, months) <= after) months += step;
  return add_months(anchor, months);
}

}  // namespace billing::simulation
