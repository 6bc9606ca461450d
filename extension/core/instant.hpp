// Times: whole seconds as Stripe sends them, microseconds as PostgreSQL keeps them, text for people.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace billing {

// Seconds since 1970-01-01 UTC, as Stripe sends every time.
using Seconds = std::int64_t;
// Microseconds since 1970-01-01 UTC.
using Instant = std::int64_t;

inline constexpr Instant kBeginningOfTime = std::numeric_limits<Instant>::min();
inline constexpr Instant kEndOfTime = std::numeric_limits<Instant>::max();
inline constexpr Seconds kLastSecond = 253'402'300'799;  // 9999-12-31 23:59:59

// Times come from outside, so the arithmetic stops at the ends instead of wrapping round.
constexpr Instant instant(Seconds seconds) {
  if (seconds > kEndOfTime / 1'000'000) return kEndOfTime;
  if (seconds < kBeginningOfTime / 1'000'000) return kBeginningOfTime;
  return seconds * 1'000'000;
}
constexpr Seconds later_by(Seconds time, Seconds duration) {
  Seconds sum = 0;
  if (!__builtin_add_overflow(time, duration, &sum)) return sum;
  return duration > 0 ? kEndOfTime : kBeginningOfTime;
}

// ISO 8601 in UTC: "2026-01-31T10:00:00+00:00".
std::string iso_time(Seconds seconds);
// Reads ISO 8601 with a zone ("2026-01-31T10:00:00.123Z", "...+01:00"), cut to whole seconds; nothing when it
// is not such a time.
std::optional<Seconds> parse_iso_time(std::string_view text);

}  // namespace billing
