// Calendar arithmetic: the ends of months, leap years, and the ends of time.
#include "core/calendar.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <limits>

namespace billing {
namespace {

Seconds at(const char* text) { return parse_iso_time(text).value(); }

std::string after(const char* from, Unit unit, std::int64_t count) {
  return iso_time(add_units(at(from), unit, count)).substr(0, 19);
}

TEST(Calendar, NamesOfUnits) {
  EXPECT_EQ(parse_unit("day"), Unit::day);
  EXPECT_EQ(parse_unit("week"), Unit::week);
  EXPECT_EQ(parse_unit("month"), Unit::month);
  EXPECT_EQ(parse_unit("year"), Unit::year);
  for (const char* name : {"", "days", "Month", "quarter"}) EXPECT_EQ(parse_unit(name), std::nullopt);
}

TEST(Calendar, DaysAndWeeksAreSeconds) {
  EXPECT_EQ(after("2026-02-28T10:11:12Z", Unit::day, 1), "2026-03-01T10:11:12");
  EXPECT_EQ(after("2026-02-28T10:11:12Z", Unit::day, -28), "2026-01-31T10:11:12");
  EXPECT_EQ(after("2026-12-28T00:00:00Z", Unit::week, 1), "2027-01-04T00:00:00");
}

TEST(Calendar, AMonthKeepsTheDay) {
  EXPECT_EQ(after("2026-01-15T23:59:59Z", Unit::month, 1), "2026-02-15T23:59:59");
  EXPECT_EQ(after("2026-11-15T00:00:00Z", Unit::month, 2), "2027-01-15T00:00:00");
  EXPECT_EQ(after("2026-01-15T00:00:00Z", Unit::month, -1), "2025-12-15T00:00:00");
}

TEST(Calendar, AMonthThatIsTooShortEndsEarlier) {
  EXPECT_EQ(after("2026-01-31T08:00:00Z", Unit::month, 1), "2026-02-28T08:00:00");
  EXPECT_EQ(after("2024-01-31T08:00:00Z", Unit::month, 1), "2024-02-29T08:00:00");
  EXPECT_EQ(after("2026-03-31T08:00:00Z", Unit::month, -1), "2026-02-28T08:00:00");
}

TEST(Calendar, FromTheAnchorTheDayComesBack) {
  EXPECT_EQ(after("2026-01-31T08:00:00Z", Unit::month, 2), "2026-03-31T08:00:00");
  EXPECT_EQ(after("2026-01-31T08:00:00Z", Unit::month, 3), "2026-04-30T08:00:00");
}

TEST(Calendar, AYearIsTwelveMonths) {
  EXPECT_EQ(after("2026-05-05T00:00:00Z", Unit::year, 1), "2027-05-05T00:00:00");
  EXPECT_EQ(after("2024-02-29T00:00:00Z", Unit::year, 1), "2025-02-28T00:00:00");
  EXPECT_EQ(after("2024-02-29T00:00:00Z", Unit::year, 4), "2028-02-29T00:00:00");
  EXPECT_EQ(nominal_length(Unit::year), 12 * nominal_length(Unit::month));
  EXPECT_EQ(nominal_length(Unit::week), 7 * nominal_length(Unit::day));
}

TEST(Calendar, WhatIsOutOfRangeEndsAtTheEnds) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();
  for (const Unit unit : {Unit::day, Unit::week, Unit::month, Unit::year}) {
    EXPECT_EQ(add_units(0, unit, kMost), kEndOfTime);
    EXPECT_EQ(add_units(0, unit, kLeast), kBeginningOfTime);
    EXPECT_EQ(add_units(kEndOfTime, unit, 1), kEndOfTime);
    EXPECT_EQ(add_units(kBeginningOfTime, unit, -1), kBeginningOfTime);
    EXPECT_EQ(add_units(kEndOfTime, unit, 0), kEndOfTime);
  }
}

RC_GTEST_PROP(Calendar, GoesForwardWithTheCount, ()) {
  const Seconds from = *rc::gen::inRange<Seconds>(0, kLastSecond);
  const Unit unit = *rc::gen::element(Unit::day, Unit::week, Unit::month, Unit::year);
  const std::int64_t count = *rc::gen::inRange<std::int64_t>(-500, 500);
  RC_ASSERT(add_units(from, unit, 0) == from);
  RC_ASSERT(add_units(from, unit, count) < add_units(from, unit, count + 1));
  const Seconds moved = add_units(from, unit, count);
  RC_ASSERT(((moved - from) % 86400 + 86400) % 86400 == 0);
}

RC_GTEST_PROP(Calendar, AnythingIsTaken, ()) {
  add_units(*rc::gen::arbitrary<Seconds>(), *rc::gen::element(Unit::day, Unit::week, Unit::month, Unit::year),
            *rc::gen::arbitrary<std::int64_t>());
}

}  // namespace
}  // namespace billing
