// Windows of usage: months' ends, leap days, clocks that are set forward and back, and no instant left out.
#include "core/usage_window.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <vector>

namespace billing {
namespace {

constexpr Seconds kHour = 3600;
constexpr Seconds kDay = 24 * kHour;

Seconds at(const char* text) { return parse_iso_time(text).value(); }

// A zone by the instants at which its offset changes.
OffsetAt zone(Seconds first, std::map<Seconds, Seconds> changes) {
  return [first, changes = std::move(changes)](Seconds instant) {
    const auto next = changes.upper_bound(instant);
    return next == changes.begin() ? first : std::prev(next)->second;
  };
}

OffsetAt utc() { return zone(0, {}); }
OffsetAt berlin() {
  return zone(kHour, {{at("2026-03-29T01:00:00Z"), 2 * kHour}, {at("2026-10-25T01:00:00Z"), kHour}});
}
// Clocks are set forward and back at midnight: the day of the change begins at 01:00, or ends twice.
OffsetAt santiago() {
  return zone(-3 * kHour,
              {{at("2026-04-05T03:00:00Z"), -4 * kHour}, {at("2026-09-06T04:00:00Z"), -3 * kHour}});
}
// December 30, 2011 did not happen.
OffsetAt apia() { return zone(-10 * kHour, {{at("2011-12-30T10:00:00Z"), 14 * kHour}}); }

std::string window(Unit unit, const OffsetAt& offset_at, const char* now) {
  const UsageWindow found = calendar_window(unit, "", offset_at, instant(at(now)));
  return iso_time(found.start / 1'000'000).substr(0, 16) + " " +
         iso_time(found.end / 1'000'000).substr(0, 16);
}

std::string period(const char* start, const char* end, const char* now) {
  const UsageWindow found = period_window(at(start), at(end), instant(at(now)));
  return iso_time(found.start / 1'000'000).substr(0, 16) + " " +
         iso_time(found.end / 1'000'000).substr(0, 16);
}

TEST(UsageWindow, UnitsOfTheCalendarInUtc) {
  EXPECT_EQ(window(Unit::day, utc(), "2026-02-28T23:59:59Z"), "2026-02-28T00:00 2026-03-01T00:00");
  EXPECT_EQ(window(Unit::week, utc(), "2026-03-01T12:00:00Z"), "2026-02-23T00:00 2026-03-02T00:00");
  EXPECT_EQ(window(Unit::week, utc(), "2026-03-02T00:00:00Z"), "2026-03-02T00:00 2026-03-09T00:00");
  EXPECT_EQ(window(Unit::month, utc(), "2026-01-31T12:00:00Z"), "2026-01-01T00:00 2026-02-01T00:00");
  EXPECT_EQ(window(Unit::month, utc(), "2028-02-29T12:00:00Z"), "2028-02-01T00:00 2028-03-01T00:00");
  EXPECT_EQ(window(Unit::year, utc(), "2028-12-31T23:59:59Z"), "2028-01-01T00:00 2029-01-01T00:00");
}

TEST(UsageWindow, BordersFollowTheZonesClocks) {
  EXPECT_EQ(window(Unit::month, berlin(), "2026-03-31T21:59:59Z"), "2026-02-28T23:00 2026-03-31T22:00");
  EXPECT_EQ(window(Unit::month, berlin(), "2026-03-31T22:00:00Z"), "2026-03-31T22:00 2026-04-30T22:00");
  EXPECT_EQ(window(Unit::day, berlin(), "2026-03-29T12:00:00Z"), "2026-03-28T23:00 2026-03-29T22:00");
  EXPECT_EQ(window(Unit::day, berlin(), "2026-10-25T12:00:00Z"), "2026-10-24T22:00 2026-10-25T23:00");
  EXPECT_EQ(window(Unit::year, berlin(), "2026-07-01T00:00:00Z"), "2025-12-31T23:00 2026-12-31T23:00");
}

TEST(UsageWindow, AMidnightThatIsSkippedOrComesTwice) {
  EXPECT_EQ(window(Unit::day, santiago(), "2026-09-06T04:00:00Z"), "2026-09-06T04:00 2026-09-07T03:00");
  EXPECT_EQ(window(Unit::day, santiago(), "2026-09-06T03:59:59Z"), "2026-09-05T04:00 2026-09-06T04:00");
  // At 24:00 it is 23:00 again.
  EXPECT_EQ(window(Unit::day, santiago(), "2026-04-05T03:30:00Z"), "2026-04-04T03:00 2026-04-05T04:00");
  EXPECT_EQ(window(Unit::day, santiago(), "2026-04-05T04:00:00Z"), "2026-04-05T04:00 2026-04-06T04:00");
  // Set back half an hour after midnight: what is shown again belongs to the new day.
  const OffsetAt late = zone(0, {{at("2026-04-05T00:30:00Z"), -kHour}});
  EXPECT_EQ(window(Unit::day, late, "2026-04-05T00:45:00Z"), "2026-04-05T00:00 2026-04-06T01:00");
}

TEST(UsageWindow, ADayThatDidNotHappenIsNobodysWindow) {
  EXPECT_EQ(window(Unit::day, apia(), "2011-12-30T09:59:59Z"), "2011-12-29T10:00 2011-12-30T10:00");
  EXPECT_EQ(window(Unit::day, apia(), "2011-12-30T10:00:00Z"), "2011-12-30T10:00 2011-12-31T10:00");
}

TEST(UsageWindow, APeriodIsItself) {
  EXPECT_EQ(period("2026-01-31T08:00:00Z", "2026-02-28T08:00:00Z", "2026-02-28T07:59:59Z"),
            "2026-01-31T08:00 2026-02-28T08:00");
}

TEST(UsageWindow, PeriodsFollowEachOtherUntilTheNextIsTold) {
  EXPECT_EQ(period("2026-01-31T08:00:00Z", "2026-02-28T08:00:00Z", "2026-02-28T08:00:00Z"),
            "2026-02-28T08:00 2026-03-31T08:00");
  EXPECT_EQ(period("2024-02-29T08:00:00Z", "2025-02-28T08:00:00Z", "2028-01-01T00:00:00Z"),
            "2027-02-28T08:00 2028-02-29T08:00");
  EXPECT_EQ(period("2026-01-01T00:00:00Z", "2026-01-08T00:00:00Z", "2026-01-20T00:00:00Z"),
            "2026-01-15T00:00 2026-01-22T00:00");
}

TEST(UsageWindow, APeriodWithoutLengthDoesNotLoop) {
  EXPECT_EQ(period("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-20T00:00:00Z"),
            "2026-01-01T00:00 2026-01-01T00:00");
}

TEST(UsageWindow, EndlessWindowsContainEveryInstant) {
  for (const Instant now : {kBeginningOfTime, Instant{0}, instant(kLastSecond)})
    EXPECT_TRUE(endless_window("lifetime").contains(now));
}

TEST(UsageWindow, AnOpenWindowStaysWhenTheTimeZoneChanges) {
  const Instant evening = instant(at("2026-11-30T23:30:00Z"));  // December in Berlin
  const UsageWindow november = calendar_window(Unit::month, "UTC", utc(), evening);
  const UsageWindow wanted = calendar_window(Unit::month, "Europe/Berlin", berlin(), evening);
  EXPECT_FALSE(wanted == november);
  EXPECT_EQ(window_after(wanted, std::nullopt, evening), wanted);
  EXPECT_EQ(window_after(wanted, november, evening), november);
  // The next one begins where it ends, and ends where the new zone says.
  const Instant later = november.end;
  const UsageWindow next =
      window_after(calendar_window(Unit::month, "Europe/Berlin", berlin(), later), november, later);
  EXPECT_EQ(next.start, november.end);
  EXPECT_EQ(next.end, instant(at("2026-12-31T23:00:00Z")));
  EXPECT_EQ(next.zone, "Europe/Berlin");
}

TEST(UsageWindow, PeriodsAreWhatStripeSays) {
  const UsageWindow first = period_window(at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z"), 0);
  // Upgraded, and charged for a whole period from then on.
  const Instant upgrade = instant(at("2026-11-10T00:00:00Z"));
  const UsageWindow second = period_window(at("2026-11-10T00:00:00Z"), at("2026-12-10T00:00:00Z"), upgrade);
  EXPECT_EQ(window_after(second, first, upgrade), second);
}

// A zone whose clocks change a few times a year, by up to a day, at any hour.
OffsetAt any_zone() {
  const auto offset = [] { return Seconds{*rc::gen::inRange(-12 * 4, 14 * 4 + 1)} * 900; };
  std::map<Seconds, Seconds> changes;
  Seconds when = at("2025-12-20T00:00:00Z");
  const Seconds first = offset();
  for (int left = *rc::gen::inRange(0, 6); left > 0; --left) {
    when += *rc::gen::inRange<Seconds>(8 * kDay, 120 * kDay);
    changes[when - when % 900] = offset();
  }
  return zone(first, changes);
}

Instant any_instant() {
  return instant(at("2025-12-01T00:00:00Z")) + *rc::gen::inRange<Instant>(0, 500 * kDay * 1'000'000);
}

template <typename WindowAt>
void tiles(const WindowAt& window_at, Instant now) {
  const UsageWindow found = window_at(now);
  RC_ASSERT(found.contains(now));
  RC_ASSERT(window_at(found.start) == found);
  RC_ASSERT(window_at(found.end - 1) == found);
  RC_ASSERT(window_at(found.start + (found.end - found.start) / 2) == found);
  RC_ASSERT(window_at(found.end).start == found.end);
  RC_ASSERT(window_at(found.start - 1).end == found.start);
}

RC_GTEST_PROP(UsageWindow, CalendarWindowsTileTheTimeLine, ()) {
  const OffsetAt offset_at = any_zone();
  const Unit unit = *rc::gen::element(Unit::day, Unit::week, Unit::month, Unit::year);
  tiles([&](Instant now) { return calendar_window(unit, "z", offset_at, now); }, any_instant());
}

RC_GTEST_PROP(UsageWindow, PeriodsTileTheTimeSinceTheirStart, ()) {
  const Seconds start = at("2025-06-01T00:00:00Z") + *rc::gen::inRange<Seconds>(0, 100 * kDay);
  const Seconds end = *rc::gen::arbitrary<bool>() ? add_units(start, Unit::month, *rc::gen::inRange(1, 13))
                                                  : start + *rc::gen::inRange<Seconds>(kHour, 40 * kDay);
  const Instant now = std::max(any_instant(), instant(end));
  tiles([&](Instant when) { return period_window(start, end, when); }, now);
  RC_ASSERT(period_window(start, end, instant(end)).start == instant(end));
}

RC_GTEST_PROP(UsageWindow, OpenedWindowsNeverOverlapWhateverTheZoneBecomes, ()) {
  const Unit unit = *rc::gen::element(Unit::day, Unit::week, Unit::month);
  std::vector<OffsetAt> zones;
  for (int i = 0; i < 3; ++i) zones.push_back(any_zone());
  Instant now = any_instant();
  std::optional<UsageWindow> last;
  for (int i = 0; i < 12; ++i) {
    const UsageWindow found =
        window_after(calendar_window(unit, "z", zones[*rc::gen::inRange<std::size_t>(0, 3)], now), last, now);
    RC_ASSERT(found.contains(now));
    RC_ASSERT(!last || found == *last || found.start >= last->end);
    last = found;
    now += *rc::gen::inRange<Instant>(0, 40 * kDay * 1'000'000);
  }
}

}  // namespace
}  // namespace billing
