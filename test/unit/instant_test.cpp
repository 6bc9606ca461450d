// Times: text in and out, and arithmetic that stops at the ends.
#include "core/instant.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace billing {
namespace {

TEST(Instant, ArithmeticStopsAtTheEnds) {
  EXPECT_EQ(instant(1), 1'000'000);
  EXPECT_EQ(instant(-1), -1'000'000);
  EXPECT_EQ(instant(kEndOfTime), kEndOfTime);
  EXPECT_EQ(instant(kBeginningOfTime), kBeginningOfTime);
  EXPECT_EQ(later_by(5, 3), 8);
  EXPECT_EQ(later_by(kEndOfTime - 1, 5), kEndOfTime);
  EXPECT_EQ(later_by(kBeginningOfTime + 1, -5), kBeginningOfTime);
}

TEST(Instant, IsoTime) {
  EXPECT_EQ(iso_time(0), "1970-01-01T00:00:00+00:00");
  EXPECT_EQ(iso_time(1'769'853'600), "2026-01-31T10:00:00+00:00");
  EXPECT_EQ(iso_time(951'782'399), "2000-02-28T23:59:59+00:00");
  EXPECT_EQ(iso_time(951'782'400), "2000-02-29T00:00:00+00:00");
  EXPECT_EQ(iso_time(4'107'542'400), "2100-03-01T00:00:00+00:00");
  EXPECT_EQ(iso_time(-1), "1969-12-31T23:59:59+00:00");
  EXPECT_EQ(iso_time(kLastSecond), "9999-12-31T23:59:59+00:00");
  EXPECT_EQ(iso_time(kLastSecond + 1), "10000-01-01T00:00:00+00:00");
}

TEST(Instant, ParsesEveryIsoForm) {
  for (const char* text : {"2026-01-31T10:00:00Z", "2026-01-31T10:00:00.000Z", "2026-01-31T10:00:00.999Z",
                           "2026-01-31 10:00:00+00", "2026-01-31T11:00:00+01:00",
                           "2026-01-31T04:30:00.5-0530", "2026-01-31T10:00:00-00:00"}) {
    EXPECT_EQ(parse_iso_time(text), 1'769'853'600) << text;
  }
  EXPECT_EQ(parse_iso_time("2024-02-29T00:00:00Z"), 1'709'164'800);
}

TEST(Instant, RefusesWhatIsNoTime) {
  for (const char* text : {"",
                           "2026",
                           "2026-01-31",
                           "2026-01-31T10:00:00",
                           "2026-13-01T00:00:00Z",
                           "2026-00-01T00:00:00Z",
                           "2026-02-30T00:00:00Z",
                           "2025-02-29T00:00:00Z",
                           "2026-01-00T00:00:00Z",
                           "2026-01-31T24:00:00Z",
                           "2026-01-31T10:60:00Z",
                           "2026-01-31T10:00:00.Z",
                           "2026-01-31T10:00:00Z ",
                           " 2026-01-31T10:00:00Z",
                           "2026-01-31T10:00:00+1",
                           "2026-01-31T10:00:00+99:00",
                           "20260131T100000Z",
                           "+026-01-31T10:00:00Z",
                           "2026-01-31T10:00:00ZZ",
                           "2026-01-31t10:00:00z",
                           "1769853600",
                           "yesterday"}) {
    EXPECT_EQ(parse_iso_time(text), std::nullopt) << text;
  }
}

RC_GTEST_PROP(InstantProperty, WhatIsWrittenReadsBack, ()) {
  const Seconds time = *rc::gen::inRange<Seconds>(-62'135'596'800, kLastSecond + 1);
  RC_ASSERT(parse_iso_time(iso_time(time)) == time);
}

RC_GTEST_PROP(InstantProperty, NoTimeAndNoTextIsTooOdd, ()) {
  RC_ASSERT(!iso_time(*rc::gen::arbitrary<Seconds>()).empty());
  RC_ASSERT(iso_time(kEndOfTime) > iso_time(kBeginningOfTime));
  parse_iso_time(*rc::gen::string<std::string>());
}

}  // namespace
}  // namespace billing
