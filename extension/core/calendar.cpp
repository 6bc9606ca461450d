#include "core/calendar.hpp"

#include <chrono>

namespace billing {
namespace {

constexpr Seconds kDay = 86'400;
// Far beyond every time that is read (year 9999), and within what std::chrono's calendar can say.
constexpr Seconds kFarthest = 4 * kLastSecond / 3;

constexpr Seconds saturated(bool later) { return later ? kEndOfTime : kBeginningOfTime; }

Seconds add_seconds(Seconds from, Seconds unit, std::int64_t count) {
  std::int64_t duration = 0;
  if (__builtin_mul_overflow(unit, count, &duration)) return saturated(count > 0);
  return later_by(from, duration);
}

Seconds add_months(Seconds from, std::int64_t count) {
  using namespace std::chrono;
  constexpr std::int64_t kMostMonths = 120'000;  // 10,000 years
  if (from < -kFarthest || from > kFarthest || count < -kMostMonths || count > kMostMonths) {
    return count == 0 ? from : saturated(count > 0);
  }
  const sys_seconds time{seconds{from}};
  const sys_days day = floor<days>(time);
  const year_month_day date{day};
  year_month_day moved = date + months{count};
  if (!moved.ok()) moved = moved.year() / moved.month() / last;
  return (sys_days{moved} + (time - day)).time_since_epoch().count();
}

}  // namespace

std::optional<Unit> parse_unit(std::string_view name) {
  if (name == "day") return Unit::day;
  if (name == "week") return Unit::week;
  if (name == "month") return Unit::month;
  if (name == "year") return Unit::year;
  return std::nullopt;
}

Seconds nominal_length(Unit unit) {
  constexpr Seconds kYear = 31'556'952;  // 365.2425 days
  switch (unit) {
    case Unit::day:
      return kDay;
    case Unit::week:
      return 7 * kDay;
    case Unit::month:
      return kYear / 12;
    case Unit::year:
      break;
  }
  return kYear;
}

Seconds add_units(Seconds from, Unit unit, std::int64_t count) {
  switch (unit) {
    case Unit::day:
      return add_seconds(from, kDay, count);
    case Unit::week:
      return add_seconds(from, 7 * kDay, count);
    case Unit::month:
      return add_months(from, count);
    case Unit::year:
      break;
  }
  std::int64_t months = 0;
  return __builtin_mul_overflow(count, 12, &months) ? saturated(count > 0) : add_months(from, months);
}

}  // namespace billing
