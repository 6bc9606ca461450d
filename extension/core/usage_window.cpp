#include "core/usage_window.hpp"

#include <algorithm>
#include <chrono>

namespace billing {
namespace {

constexpr Seconds kDay = 86'400;
constexpr Seconds kFirstSecond = -62'135'596'800;  // year 1

Seconds floor_seconds(Instant now) {
  const Seconds seconds = now / 1'000'000;
  const Seconds floor = seconds * 1'000'000 > now ? seconds - 1 : seconds;
  return std::clamp(floor, kFirstSecond, kLastSecond);
}

// The beginning of the unit, on the zone's clocks.
Seconds unit_start(Unit unit, Seconds local) {
  using namespace std::chrono;
  const sys_days day = floor<days>(sys_seconds{seconds{local}});
  const year_month_day date{day};
  sys_days start = day;
  switch (unit) {
    case Unit::day:
      break;
    case Unit::week:
      start = day - (weekday{day} - Monday);
      break;
    case Unit::month:
      start = sys_days{date.year() / date.month() / 1};
      break;
    case Unit::year:
      start = sys_days{date.year() / January / 1};
      break;
  }
  return sys_seconds{start}.time_since_epoch().count();
}

const char* name_of(Unit unit) {
  switch (unit) {
    case Unit::day:
      return "day";
    case Unit::week:
      return "week";
    case Unit::month:
      return "month";
    case Unit::year:
      break;
  }
  return "year";
}

// Whole months or days; months where both fit, as billing cycles are told.
struct Length {
  Unit unit;
  std::int64_t count;
};
Length length_of(Seconds start, Seconds end) {
  constexpr std::int64_t kMostMonths = 120;
  const std::int64_t about = (end - start) / nominal_length(Unit::month);
  for (std::int64_t months = std::max<std::int64_t>(1, about - 1);
       months <= about + 1 && months <= kMostMonths; ++months) {
    if (add_units(start, Unit::month, months) == end) return {Unit::month, months};
  }
  return {Unit::day, 0};
}

}  // namespace

Seconds first_shown(Seconds local, const OffsetAt& offset_at) {
  // Offsets are less than a day, so that a change that concerns `local` lies between these.
  Seconds low = local - 2 * kDay;
  Seconds high = local + 2 * kDay;
  const Seconds before = offset_at(low);
  const Seconds after = offset_at(high);
  if (before == after) return local - before;
  while (high - low > 1) {
    const Seconds middle = low + (high - low) / 2;
    (offset_at(middle) == before ? low : high) = middle;
  }
  const Seconds change = high;
  return local - before < change ? local - before : std::max(change, local - after);
}

UsageWindow calendar_window(Unit unit, const std::string& zone, const OffsetAt& offset_at, Instant now) {
  const Seconds second = floor_seconds(now);
  Seconds local = unit_start(unit, second + offset_at(second));
  Seconds start = first_shown(local, offset_at);
  // Where clocks are set back over the border, the same local time lies on both sides of it.
  while (start > second) {
    local = add_units(local, unit, -1);
    start = first_shown(local, offset_at);
  }
  Seconds end = first_shown(add_units(local, unit, 1), offset_at);
  while (end <= second) {
    local = add_units(local, unit, 1);
    start = end;
    end = first_shown(add_units(local, unit, 1), offset_at);
  }
  return {name_of(unit), instant(start), instant(end), zone};
}

UsageWindow period_window(Seconds start, Seconds end, Instant now) {
  UsageWindow window{"period", instant(start), instant(end)};
  if (end <= start || now < window.end) return window;
  const Length length = length_of(start, end);
  const Seconds second = floor_seconds(now);
  const auto border = [&](std::int64_t n) {
    return length.count == 0 ? later_by(start, n * (end - start))
                             : add_units(start, length.unit, n * length.count);
  };
  std::int64_t n = std::max<std::int64_t>(1, (second - start) / (end - start) - 1);
  while (border(n) > second && n > 1) --n;
  while (border(n + 1) <= second) ++n;
  window.start = instant(border(n));
  window.end = instant(border(n + 1));
  return window;
}

UsageWindow endless_window(const std::string& kind) { return {kind, kBeginningOfTime, kEndOfTime}; }

UsageWindow window_after(const UsageWindow& wanted, const std::optional<UsageWindow>& last, Instant now) {
  if (!last || wanted.zone.empty()) return wanted;
  if (last->contains(now)) return *last;
  UsageWindow next = wanted;
  if (last->end <= now) next.start = std::max(next.start, last->end);
  return next;
}

}  // namespace billing
