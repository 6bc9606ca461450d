// The window of time within which usage is counted against a limit. Windows of one kind tile the time line:
// each instant lies in exactly one.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "core/calendar.hpp"
#include "core/instant.hpp"

namespace billing {

struct UsageWindow {
  std::string kind;    // period, day, week, month, year, lifetime, or count: how many there are, at any time
  Instant start = 0;   // kBeginningOfTime: since ever
  Instant end = 0;     // exclusive; kEndOfTime: for ever
  std::string zone{};  // whose calendar it is; "" when it follows no calendar
  bool contains(Instant instant) const { return start <= instant && instant < end; }
  bool operator==(const UsageWindow&) const = default;
};

// How far the clocks of a time zone are ahead of UTC at an instant.
using OffsetAt = std::function<Seconds(Seconds)>;

// The instant at which the clocks of a zone first show `local` (seconds as if it were UTC) or later: where
// the clocks skip it, the instant of the change.
Seconds first_shown(Seconds local, const OffsetAt& offset_at);

// The calendar's day, week (from Monday), month or year that `now` falls into.
UsageWindow calendar_window(Unit unit, const std::string& zone, const OffsetAt& offset_at, Instant now);

// The billing period [start, end); after its end, while nothing tells of the next one, periods of the same
// length follow.
UsageWindow period_window(Seconds start, Seconds end, Instant now);

// Since ever and for ever: kind lifetime or count.
UsageWindow endless_window(const std::string& kind);

// Which window counts at `now`, when the calendar says `wanted` and `last` is the newest one of its kind that
// has been opened by then. One that is open keeps its bounds, whatever the time zone has become since; the
// next one begins no earlier than it ends. Periods are told by Stripe, and stand as they are.
UsageWindow window_after(const UsageWindow& wanted, const std::optional<UsageWindow>& last, Instant now);

}  // namespace billing
