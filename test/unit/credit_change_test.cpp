// What new periods within old ones grant, and changes of plans whose credits come by interval.
#include <gtest/gtest.h>

#include "credit_fixtures.hpp"

namespace billing::credits {
namespace {

using namespace fixtures;

TEST(NewPeriod, MonthlyToAnnualGrantsInFullAndEndsTheMonth) {
  for (const char* annual : {"pro_year", "basic_year"}) {
    const auto plan = due({base("pro"), restart("in_2", day(10), after_year(day(10)), annual)});
    ASSERT_EQ(plan.size(), 2U);
    EXPECT_EQ(plan[1].key, "in_2:il_in_2:period");
    EXPECT_EQ(plan[1].amount, annual == std::string("pro_year") ? 3600 : 1200);
    EXPECT_EQ(plan[1].cycle_start, day(10));
    EXPECT_EQ(plan[1].expires_at, after_year(day(10)));
  }
}

TEST(NewPeriod, BackAndForthGrantsOnlyNewTime) {
  const auto plan = due({base("pro"), restart("in_2", day(10), after_year(day(10)), "pro_year"),
                         restart("in_3", day(11), after_month(day(11)), "pro"),
                         restart("in_4", day(12), after_year(day(12)), "pro_year")});
  EXPECT_EQ(amount_of(plan, "in_3:il_in_3:period"), 0);
  EXPECT_EQ(amount_of(plan, "in_4:il_in_4:period"), 3600 * 2 / 365);
  EXPECT_EQ(find(plan, "in_4:il_in_4:period")->full, 3600);
  // The annual lot is worth more: what is added takes its place beside it.
  EXPECT_EQ(find(plan, "in_4:il_in_4:period")->cycle_start, day(10));
}

TEST(NewPeriod, AnnualToMonthlyOfLessTakesNothingAndWaitsForRenewal) {
  const Json annual = create({period("il_1", "pro_year", month(0), month(12))});
  const Json monthly = restart("in_2", day(10), after_month(day(10)), "basic");
  const Json renewal =
      cycle("in_3", after_month(day(10)),
            {period("il_3", "basic", after_month(day(10)), after_month(after_month(day(10))))});
  const auto plan = due({annual, monthly, renewal});
  ASSERT_EQ(plan.size(), 2U);
  EXPECT_EQ(plan[0].amount, 3600);
  EXPECT_EQ(plan[1].key, "in_3:il_3:period");
  EXPECT_EQ(plan[1].amount, 100);
  EXPECT_EQ(plan[1].cycle_start, after_month(day(10)));
}

TEST(NewPeriod, AnnualToMonthlyOfAHigherRateGrantsInFullBesideTheAnnual) {
  const auto plan = due({create({period("il_1", "basic_year", month(0), month(12))}),
                         restart("in_2", day(10), after_month(day(10)), "max")});
  ASSERT_EQ(plan.size(), 2U);
  EXPECT_EQ(plan[1].amount, 900);
  EXPECT_EQ(plan[1].cycle_start, month(0));  // 1200 are more than 900
}

TEST(NewPeriod, MoreOfTheSamePriceGrantsInFull) {
  const auto plan = due({base("pro"), restart("in_2", day(10), after_month(day(10)), "pro", 3)});
  ASSERT_EQ(plan.size(), 2U);
  EXPECT_EQ(plan[1].amount, 900);
  EXPECT_EQ(plan[1].cycle_start, day(10));
}

TEST(NewPeriod, TheSameAgainGrantsTheTimeThatIsNew) {
  const auto plan = due({base("pro"), restart("in_2", day(10), after_month(day(10)), "pro")});
  ASSERT_EQ(plan.size(), 2U);
  EXPECT_EQ(plan[1].amount, 300 * 10 / 31);
  EXPECT_EQ(plan[1].rule["covered_seconds"], 21 * kDay);
  EXPECT_EQ(plan[1].cycle_start, month(0));
}

TEST(NewPeriod, TheSamePriceCountsUnderAnyItem) {
  Line line = period("il_2", "pro", day(10), after_month(day(10)));
  line.item = "si_2";
  EXPECT_EQ(amount_of(due({base("pro"), update("in_2", day(10), {line})}), "in_2:il_2:period"),
            300 * 10 / 31);
}

TEST(NewPeriod, ItsOwnTiersDoNotCoverEachOther) {
  const Seconds until = after_month(day(10));
  EXPECT_EQ(total(due({update(
                "in_2", day(10),
                {period("il_2", "pro", day(10), until, 10), period("il_3", "pro", day(10), until, 5)})})),
            4500);
}

TEST(NewPeriod, AfterATrialGrantsInFull) {
  Line trial = period("il_1", "pro", month(0), day(30));
  trial.amount = 0;
  const auto plan = due({create({trial}), restart("in_2", day(10), after_month(day(10)), "pro")});
  ASSERT_EQ(plan.size(), 1U);
  EXPECT_EQ(plan[0].amount, 300);
}

TEST(NewPeriod, AnotherItemsPeriodDoesNotCount) {
  Line other = period("il_2", "basic", day(10), after_month(day(10)));
  other.item = "si_2";
  EXPECT_EQ(amount_of(due({base("max"), update("in_2", day(10), {other})}), "in_2:il_2:period"), 100);
}

// Annual plans with monthly credits.

Json drip(const std::string& price) { return create({period("il_1", price, month(0), month(12))}); }
Json drip_change(const std::string& id, Seconds at, const std::string& from, const std::string& to) {
  return update(
      id, at,
      {unused("il_" + id + "_u", from, at, month(12)), remaining("il_" + id + "_r", to, at, month(12))});
}

TEST(IntervalUpgrade, GrantsTheRestOfTheIntervalAndEachLaterOne) {
  const Seconds at = month(3) + 10 * kDay;
  const auto plan = due({drip("pro_drip"), drip_change("in_2", at, "pro_drip", "max_drip")});
  ASSERT_EQ(plan.size(), 12U + 9U);
  const PlannedGrant& now = *find(plan, "in_2:il_in_2_r:upgrade");
  EXPECT_EQ(now.amount, 600 * 20 / 30);
  EXPECT_EQ(now.effective_at, 0);
  EXPECT_EQ(now.cycle_start, month(3));
  EXPECT_EQ(now.expires_at, month(4));
  for (int k = 1; k < 9; ++k) {
    const PlannedGrant* later = find(plan, "in_2:il_in_2_r:upgrade:" + std::to_string(k));
    ASSERT_NE(later, nullptr);
    EXPECT_EQ(later->amount, 600);
    EXPECT_EQ(later->effective_at, instant(month(3 + k)));
    EXPECT_EQ(later->cycle_start, month(3 + k));
    EXPECT_EQ(later->expires_at, month(4 + k));
  }
}

// What the account gets in that month.
Amount of_month(const std::vector<PlannedGrant>& plan, int number) {
  Amount sum = 0;
  for (const PlannedGrant& grant : plan) {
    if (grant.cycle_start == month(number)) sum += grant.amount;
  }
  return sum;
}

TEST(IntervalUpgrade, ADowngradeLeavesTheMonthAndLowersTheLaterOnes) {
  const Seconds at = month(3) + 10 * kDay;
  const auto plan = due({drip("max_drip"), drip_change("in_2", at, "max_drip", "pro_drip")});
  for (int k = 0; k < 12; ++k) EXPECT_EQ(of_month(plan, k), k <= 3 ? 900 : 300) << k;
}

TEST(IntervalUpgrade, UpDownUpGrantsEachMonthOnce) {
  const auto plan = due({drip("pro_drip"), drip_change("in_2", day(5), "pro_drip", "max_drip"),
                         drip_change("in_3", day(6), "max_drip", "pro_drip"),
                         drip_change("in_4", day(7), "pro_drip", "max_drip")});
  EXPECT_EQ(of_month(plan, 0), 300 + 600 * 26 / 31);
  for (int k = 1; k < 12; ++k) EXPECT_EQ(of_month(plan, k), 900) << k;
}

TEST(IntervalUpgrade, ANewPeriodEndsWhatTheOldOneHadToCome) {
  const Seconds at = month(3) + 10 * kDay;
  const auto plan = due({drip("max_drip"), restart("in_2", at, after_month(at), "pro")});
  // Covered until May; then the rest of the month that is paid.
  EXPECT_EQ(amount_of(plan, "in_2:il_in_2:period"), 300 * 10 / 30);
  EXPECT_EQ(find(plan, "in_2:il_in_2:period")->cycle_start, month(3));
  EXPECT_EQ(plan.size(), 4U + 1U);
}

TEST(IntervalUpgrade, ARemovedItemStopsComing) {
  const Seconds at = month(3) + 10 * kDay;
  EXPECT_EQ(due({drip("max_drip"), update("in_2", at, {unused("il_2", "max_drip", at, month(12))})}).size(),
            4U);
}

TEST(IntervalUpgrade, AMeteredPriceInsteadStopsItToo) {
  Catalogue prices = plans();
  prices["metered"] = prices["pro"];
  prices["metered"].id = "metered";
  prices["metered"].metered = true;
  prices["metered"].unit_amount = std::nullopt;
  const Seconds at = month(3) + 10 * kDay;
  Line usage = remaining("il_3", "metered", at, month(12));
  usage.amount = 0;
  EXPECT_EQ(
      due({drip("max_drip"), update("in_2", at, {unused("il_2", "max_drip", at, month(12)), usage})}, prices)
          .size(),
      4U);
}

TEST(IntervalUpgrade, AnInvoiceOfBeforeCutsNothing) {
  const Seconds at = month(3) + 10 * kDay;
  // The pro plan's month, then max for a year: only what was planned before is cut.
  const auto plan = due({base("pro"), restart("in_2", day(10), after_year(day(10)), "max_drip"),
                         update("in_3", at,
                                {unused("il_3", "max_drip", at, after_year(day(10))),
                                 remaining("il_4", "pro_drip", at, after_year(day(10)))})});
  EXPECT_EQ(amount_of(plan, "in_2:il_in_2:period:3"), 900);
  EXPECT_EQ(amount_of(plan, "in_2:il_in_2:period:4"), 0);
  EXPECT_EQ(amount_of(plan, "in_3:il_4:upgrade:1"), 300);
  EXPECT_EQ(amount_of(plan, "in_3:il_4:upgrade:8"), 300);
}

TEST(IntervalUpgrade, DownToAYearAtOnceGrantsTheRestOfTheYear) {
  const Seconds at = month(3) + 10 * kDay;
  const auto plan = due({drip("max_drip"), drip_change("in_2", at, "max_drip", "basic_year")});
  ASSERT_EQ(plan.size(), 4U + 1U);
  EXPECT_EQ(plan[4].effective_at, instant(month(4)));
  EXPECT_EQ(plan[4].amount, 1200 * (month(12) - month(4)) / (month(12) - month(0)));
  EXPECT_EQ(plan[4].expires_at, month(12));
  // Unless that is over before it begins.
  EXPECT_EQ(due({drip("max_drip"), drip_change("in_2", at, "max_drip", "basic_year"),
                 restart("in_3", at + kDay, after_year(at + kDay), "pro_year")})
                .size(),
            4U + 1U);
}

TEST(IntervalUpgrade, AnotherInvoiceForTheSameTimeCutsNothing) {
  EXPECT_EQ(
      due({drip("max_drip"), cycle("in_2", day(1), {period("il_2", "none", month(0), month(12))})}).size(),
      12U);
}

TEST(IntervalUpgrade, WithinAMonthNothingIsCut) {
  Catalogue prices = plans();
  prices["weekly"] =
      read_price(price_json("weekly", {{"credits", "7"}, {"credit_interval", "week"}}), nullptr);
  const auto plan = due({base("weekly"), restart("in_2", day(10), after_month(day(10)), "pro")}, prices);
  EXPECT_EQ(plan.size(), 5U + 1U);
}

TEST(IntervalUpgrade, UpToAYearAtOnceGrantsWhatTheMonthsToComeDoNot) {
  const Seconds at = month(6);
  const auto plan = due({drip("basic_year"), drip_change("in_2", at, "basic_year", "pro_year")});
  EXPECT_EQ(amount_of(plan, "in_2:il_in_2_r:upgrade"), 2400 * (month(12) - at) / (month(12) - month(0)));
}

TEST(IntervalUpgrade, WhatIsCutIsToldAsNothing) {
  const Json first = drip("max_drip");
  const Json second = drip_change("in_2", month(3) + kDay, "max_drip", "pro_drip");
  const auto plan = plan_invoices({&first, &second}, plans());
  const PlannedGrant* cut = find(plan, "in_1:il_1:period:7");
  ASSERT_NE(cut, nullptr);
  EXPECT_EQ(cut->amount, 0);
  EXPECT_EQ(cut->full, 900);
}

}  // namespace
}  // namespace billing::credits
