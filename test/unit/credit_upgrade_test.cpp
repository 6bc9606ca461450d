// What changes within a cycle grant: prorations, new periods, and what going back and forth gains (nothing).
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <random>

#include "credit_fixtures.hpp"

namespace billing::credits {
namespace {

using namespace fixtures;

const Seconds kCycle = month(1) - month(0);

// A month of `price`, and a change of it to another on that day.
Json base(const std::string& price, std::int64_t quantity = 1) {
  return create({period("il_1", price, month(0), month(1), quantity)});
}
Json change(const std::string& id, Seconds at, const std::string& from, const std::string& to,
            std::int64_t from_quantity = 1, std::int64_t to_quantity = 1) {
  return update(id, at,
                {unused("il_" + id + "_u", from, at, month(1), from_quantity),
                 remaining("il_" + id + "_r", to, at, month(1), to_quantity)});
}
Amount prorated(Amount delta, Seconds at) { return delta * (month(1) - at) / kCycle; }

TEST(Upgrade, GrantsTheProratedDifference) {
  for (const bool old : {false, true}) {
    const Json upgrade = invoice(
        "in_2", day(10), "subscription_update",
        {unused("il_2", "basic", day(10), month(1)), remaining("il_3", "pro", day(10), month(1))}, old);
    const auto plan = due({base("basic"), upgrade});
    ASSERT_EQ(plan.size(), 2U);
    EXPECT_EQ(plan[1].key, "in_2:il_3:upgrade");
    EXPECT_EQ(plan[1].amount, 200 * 21 / 31);
    EXPECT_EQ(plan[1].full, plan[1].amount);
    EXPECT_EQ(plan[1].effective_at, 0);
    EXPECT_EQ(plan[1].expires_at, month(1));
    EXPECT_EQ(plan[1].cycle_start, month(0));
    EXPECT_EQ(plan[1].series, "sub_1:si_1");
    EXPECT_EQ(plan[1].source, "upgrade");
    EXPECT_EQ(plan[1].price_id, "pro");
    EXPECT_EQ(plan[1].rule["from"], 100);
    EXPECT_EQ(plan[1].rule["to"], 300);
  }
}

TEST(Upgrade, OfTheQuantityIsOne) {
  EXPECT_EQ(
      amount_of(due({base("pro"), change("in_2", day(10), "pro", "pro", 1, 3)}), "in_2:il_in_2_r:upgrade"),
      prorated(600, day(10)));
}

TEST(Upgrade, FollowsThePricesRule) {
  const auto granted = [](const char* rule) {
    Catalogue prices = plans();
    prices["pro"] = read_price(price_json("pro", {{"credits", "300"}, {"upgrade_credits", rule}}), nullptr);
    return amount_of(due({base("basic"), change("in_2", day(10), "basic", "pro")}, prices),
                     "in_2:il_in_2_r:upgrade");
  };
  EXPECT_EQ(granted("full_delta"), 200);
  EXPECT_EQ(granted("prorated_delta"), prorated(200, day(10)));
  EXPECT_EQ(granted("none"), 0);
}

TEST(Upgrade, ADowngradeTakesAndGrantsNothing) {
  const auto plan = due({base("pro"), change("in_2", day(10), "pro", "basic")});
  EXPECT_EQ(plan.size(), 1U);
  EXPECT_EQ(plan[0].amount, 300);
}

TEST(Upgrade, UpDownUpGainsNothing) {
  const std::vector<Json> invoices = {base("basic"),
                                      change("in_2", day(5), "basic", "max"),
                                      change("in_3", day(6), "max", "basic"),
                                      change("in_4", day(7), "basic", "max"),
                                      change("in_5", day(8), "max", "pro"),
                                      change("in_6", day(9), "pro", "max")};
  const auto plan = due(invoices);
  EXPECT_EQ(plan.size(), 2U);
  EXPECT_EQ(amount_of(plan, "in_2:il_in_2_r:upgrade"), prorated(800, day(5)));
}

TEST(Upgrade, DownAndUpAgainGainsNothing) {
  EXPECT_EQ(due({base("max"), change("in_2", day(5), "max", "basic"), change("in_3", day(6), "basic", "max")})
                .size(),
            1U);
}

TEST(Upgrade, WhatThePeriodGrantedCountsAlthoughNobodyToldTheDowngrade) {
  EXPECT_EQ(due({base("max"), change("in_2", day(6), "basic", "max")}).size(), 1U);
}

TEST(Upgrade, OfTieredPricesCountsTheSubscriptionOnce) {
  Catalogue prices = plans();
  prices["pro"] =
      read_price(price_json("pro", {{"credits", "300"}, {"credits_per", "subscription"}}), nullptr);
  const std::vector<Line> tiers = {unused("il_2", "basic", day(10), month(1)),
                                   remaining("il_3", "pro", day(10), month(1), 10),
                                   remaining("il_4", "pro", day(10), month(1), 5)};
  EXPECT_EQ(total(due({update("in_2", day(10), tiers)}, prices)), prorated(200, day(10)));
  prices["pro"].rule.per_subscription = false;
  EXPECT_EQ(total(due({update("in_2", day(10), tiers)}, prices)), prorated(4400, day(10)));
}

TEST(Upgrade, OnlyWhatExceedsTheHighestIsNew) {
  const auto plan = due({base("basic"), change("in_2", day(5), "basic", "pro"),
                         change("in_3", day(6), "pro", "basic"), change("in_4", day(7), "basic", "max")});
  const PlannedGrant* last = find(plan, "in_4:il_in_4_r:upgrade");
  ASSERT_NE(last, nullptr);
  EXPECT_EQ(last->amount, prorated(600, day(7)));
  EXPECT_EQ(last->full, prorated(800, day(7)));
}

TEST(Upgrade, TheNextCycleStartsAfresh) {
  const Seconds at = month(1) + 10 * kDay;
  const auto plan = due(
      {base("basic"), change("in_2", day(5), "basic", "pro"), change("in_3", day(6), "pro", "basic"),
       cycle("in_4", month(1), {period("il_4", "basic", month(1), month(2))}),
       update("in_5", at, {unused("il_5", "basic", at, month(2)), remaining("il_6", "pro", at, month(2))})});
  EXPECT_EQ(amount_of(plan, "in_5:il_6:upgrade"), 200 * 18 / 28);
}

TEST(Upgrade, FromAFreePriceCreditsAZeroLine) {
  Line credit = unused("il_2", "free", day(10), month(1));
  credit.amount = 0;
  credit.credits_earlier = false;
  Line charge = remaining("il_3", "pro", day(10), month(1));
  Line free = period("il_1", "free", month(0), month(1));
  free.amount = 0;
  EXPECT_EQ(amount_of(due({create({free}), update("in_2", day(10), {charge, credit})}), "in_2:il_3:upgrade"),
            prorated(290, day(10)));
  // And back.
  Line back = unused("il_4", "pro", day(12), month(1));
  Line gone = remaining("il_5", "free", day(12), month(1));
  gone.amount = 0;
  EXPECT_EQ(due({base("pro"), update("in_2", day(12), {gone, back})}).size(), 1U);
}

TEST(Upgrade, WhollyDiscountedItIsStillOne) {
  Line credit = unused("il_2", "basic", day(10), month(1));
  Line charge = remaining("il_3", "pro", day(10), month(1));
  credit.amount = charge.amount = 0;
  credit.credits_earlier = false;
  charge.discounted = credit.discounted = true;
  EXPECT_EQ(total(due({update("in_2", day(10), {credit, charge})})), prorated(200, day(10)));
  // Without a discount nothing is charged because a trial is running.
  charge.discounted = credit.discounted = false;
  EXPECT_TRUE(due({update("in_2", day(10), {credit, charge})}).empty());
}

TEST(Upgrade, TheCreditIsTheLineThatNamesWhatItCredits) {
  Line credit = unused("il_2", "basic", day(10), month(1));
  Line charge = remaining("il_3", "pro", day(10), month(1));
  credit.amount = charge.amount = 0;
  charge.discounted = credit.discounted = true;
  for (const bool old : {false, true}) {
    for (const std::vector<Line>& lines : {std::vector{credit, charge}, std::vector{charge, credit}}) {
      const Json upgrade = invoice("in_2", day(10), "subscription_update", lines, old);
      EXPECT_EQ(total(due({upgrade})), prorated(200, day(10)));
    }
  }
}

TEST(Upgrade, AnAddedItemIsNewAndARemovedOneNothing) {
  Line added = remaining("il_2", "basic", day(10), month(1));
  added.item = "si_2";
  const auto plan = due({base("pro"), update("in_2", day(10), {added})});
  EXPECT_EQ(amount_of(plan, "in_2:il_2:upgrade"), prorated(100, day(10)));
  EXPECT_EQ(plan[1].series, "sub_1:si_2");
  EXPECT_EQ(due({base("pro"), update("in_2", day(10), {unused("il_2", "pro", day(10), month(1))})}).size(),
            1U);
}

TEST(Upgrade, AnItemReplacedByAnotherIsTheSame) {
  const auto swap = [](const std::string& id, Seconds at, const std::string& from,
                       const std::string& from_item, const std::string& to, const std::string& to_item) {
    Line credit = unused("il_" + id + "_u", from, at, month(1));
    Line charge = remaining("il_" + id + "_r", to, at, month(1));
    credit.item = from_item;
    charge.item = to_item;
    return update(id, at, {credit, charge});
  };
  const auto plan = due({base("basic"), swap("in_2", day(5), "basic", "si_1", "pro", "si_2"),
                         swap("in_3", day(6), "pro", "si_2", "basic", "si_3"),
                         swap("in_4", day(7), "basic", "si_3", "pro", "si_4")});
  EXPECT_EQ(plan.size(), 2U);
  EXPECT_EQ(amount_of(plan, "in_2:il_in_2_r:upgrade"), prorated(200, day(5)));
}

TEST(Upgrade, AFreeItemReplacedByAPaidOneIsTheCreditedSide) {
  Line credit = unused("il_2", "free", day(10), month(1));
  credit.amount = 0;
  credit.credits_earlier = false;
  Line charge = remaining("il_3", "pro", day(10), month(1));
  charge.item = "si_2";
  EXPECT_EQ(total(due({update("in_2", day(10), {credit, charge})})), prorated(290, day(10)));
}

TEST(Upgrade, ChangesOfOneInvoiceCountTogether) {
  // Paid with the next period: up on day 5, further up on day 15.
  const std::vector<Line> lines = {
      period("il_9", "max", month(1), month(2)), unused("il_2", "basic", day(5), month(1)),
      remaining("il_3", "pro", day(5), month(1)), unused("il_4", "pro", day(15), month(1)),
      remaining("il_5", "max", day(15), month(1))};
  const auto plan = due({base("basic"), cycle("in_2", month(1), lines)});
  EXPECT_EQ(amount_of(plan, "in_2:il_9:period"), 900);
  EXPECT_EQ(amount_of(plan, "in_2:il_5:upgrade"), (200 * 10 + 800 * 16) / 31);
  // Its time is over: it joins the period that begins.
  EXPECT_EQ(find(plan, "in_2:il_5:upgrade")->expires_at, month(2));
  EXPECT_EQ(find(plan, "in_2:il_5:upgrade")->cycle_start, month(1));
}

TEST(Upgrade, UpAndAtOnceDownOnOneInvoiceIsNothing) {
  const std::vector<Line> lines = {
      unused("il_2", "basic", day(5), month(1)), remaining("il_3", "max", day(5), month(1)),
      unused("il_4", "max", day(5) + 60, month(1)), remaining("il_5", "basic", day(5) + 60, month(1))};
  EXPECT_EQ(due({base("basic"), cycle("in_2", month(1), lines)}).size(), 1U);
}

TEST(Upgrade, ThatANewPeriodEndsIsPaidForItsTime) {
  const Seconds until = add_units(day(15), Unit::year, 1);
  const auto plan =
      due({base("basic"),
           update("in_2", day(15),
                  {unused("il_2", "basic", day(5), month(1)), remaining("il_3", "pro", day(5), month(1)),
                   unused("il_4", "pro", day(15), month(1)), period("il_5", "pro_year", day(15), until)})});
  EXPECT_EQ(amount_of(plan, "in_2:il_5:period"), 3600);
  EXPECT_EQ(amount_of(plan, "in_2:il_3:upgrade"), 200 * 10 / 31);
  EXPECT_EQ(find(plan, "in_2:il_3:upgrade")->cycle_start, day(15));
  EXPECT_EQ(find(plan, "in_2:il_3:upgrade")->expires_at, until);
}

TEST(Upgrade, WaitsForThePricesOfBothSides) {
  EXPECT_TRUE(due({change("in_2", day(5), "unknown", "pro")}).empty());
  EXPECT_TRUE(due({change("in_2", day(5), "basic", "unknown")}).empty());
}

TEST(Upgrade, WithoutTheFirstInvoiceTheCalendarTellsTheCycle) {
  const auto plan = due({change("in_2", day(10), "basic", "pro")});
  ASSERT_EQ(plan.size(), 1U);
  EXPECT_EQ(plan[0].amount, prorated(200, day(10)));
  EXPECT_EQ(plan[0].cycle_start, month(0));
}

TEST(Upgrade, AtAMonthsEndTheShareIsOfTheShortestCycle) {
  const Seconds start = parse_iso_time("2026-01-31T00:00:00Z").value();
  const Seconds end = parse_iso_time("2026-02-28T00:00:00Z").value();
  const auto plan =
      due({create({period("il_1", "basic", start, end)}),
           update("in_2", start + 60,
                  {unused("il_2", "basic", start + 60, end), remaining("il_3", "pro", start + 60, end)})});
  EXPECT_EQ(amount_of(plan, "in_2:il_3:upgrade"), 199);
  EXPECT_EQ(find(plan, "in_2:il_3:upgrade")->cycle_start, start);
}

TEST(Upgrade, ItemsThatAVersionDoesNotNameAreFoundByPrice) {
  Line credit = unused("il_2", "basic", day(10), month(1));
  Line charge = remaining("il_3", "pro", day(10), month(1));
  credit.item = charge.item = "";
  const auto plan = due({base("basic"), update("in_2", day(10), {credit, charge})});
  EXPECT_EQ(amount_of(plan, "in_2:il_3:upgrade"), prorated(200, day(10)));
  EXPECT_EQ(find(plan, "in_2:il_3:upgrade")->series, "sub_1:si_1");
}

TEST(FirstPart, OfASubscriptionIsProratedWhateverUpgradesGet) {
  Catalogue prices = plans();
  prices["pro"] = read_price(price_json("pro", {{"credits", "300"}, {"upgrade_credits", "none"}}), nullptr);
  const auto plan = due({create({remaining("il_1", "pro", day(10), month(1))}, day(10))}, prices);
  ASSERT_EQ(plan.size(), 1U);
  EXPECT_EQ(plan[0].key, "in_1:il_1:period");
  EXPECT_EQ(plan[0].amount, prorated(300, day(10)));
  EXPECT_EQ(plan[0].source, "invoice");
}

// New periods by a subscription_update.

Json restart(const std::string& id, Seconds at, Seconds until, const std::string& to,
             std::int64_t quantity = 1) {
  return update(id, at, {period("il_" + id, to, at, until, quantity)});
}
Seconds after_year(Seconds at) { return add_units(at, Unit::year, 1); }
Seconds after_month(Seconds at) { return add_units(at, Unit::month, 1); }

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
  EXPECT_FALSE(needs_siblings(base("weekly")));
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

// Random lives: changes of price and quantity, several on an invoice, and restarts.

struct Life {
  std::vector<Json> invoices;
  Amount lowest = 0;  // of the levels in the first cycle
  Amount highest = 0;
};

void showValue(const Life& life, std::ostream& out) {
  for (const Json& invoice : life.invoices) out << to_text(invoice) << '\n';
}

Life any_life() {
  const std::vector<std::string> names = {"basic", "pro", "max", "free", "none"};
  const std::map<std::string, Amount> credits = {
      {"basic", 100}, {"pro", 300}, {"max", 900}, {"free", 10}, {"none", 0}};
  Life life;
  std::string price = *rc::gen::elementOf(names);
  std::int64_t quantity = *rc::gen::inRange(1, 4);
  std::string item = "si_1";
  const auto level = [&] { return credits.at(price) * quantity; };
  const auto line_of = [&](Line line) {
    line.item = item;
    if (price == "free") line.amount = 0;
    return line;
  };
  life.invoices.push_back(create({line_of(period("il_0", price, month(0), month(1), quantity))}));
  life.lowest = life.highest = level();
  Seconds at = month(0);
  int number = 1;
  while (*rc::gen::inRange(0, 6) != 0) {
    std::vector<Line> lines;
    const int changes = *rc::gen::inRange(1, 4);
    for (int i = 0; i < changes; ++i) {
      at = std::min(at + *rc::gen::inRange<Seconds>(1, 4 * kDay), month(1) - 60 + number);
      const std::string id = "il_" + std::to_string(number++);
      lines.push_back(line_of(unused(id + "u", price, at, month(1), quantity)));
      price = *rc::gen::elementOf(names);
      quantity = *rc::gen::inRange(1, 4);
      if (*rc::gen::inRange(0, 3) == 0) item = "si_" + std::to_string(number);
      lines.push_back(line_of(remaining(id + "r", price, at, month(1), quantity)));
      life.lowest = std::min(life.lowest, level());
      life.highest = std::max(life.highest, level());
    }
    const std::string id = "in_" + std::to_string(number);
    life.invoices.push_back(*rc::gen::inRange(0, 2) == 0 ? update(id, at, lines) : cycle(id, at, lines));
  }
  return life;
}
rc::Gen<Life> any() { return rc::gen::exec(any_life); }

std::vector<PlannedGrant> all(const std::vector<Json>& invoices) {
  std::vector<const Json*> pointers;
  for (const Json& invoice : invoices) pointers.push_back(&invoice);
  return plan_invoices(pointers, plans());
}

RC_GTEST_PROP(UpgradeProperty, TheOrderOfTheInvoicesDoesNotMatter, ()) {
  const Life life = *any();
  std::vector<Json> shuffled = life.invoices;
  std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(*rc::gen::arbitrary<unsigned>()));
  RC_ASSERT(to_json(all(shuffled)) == to_json(all(life.invoices)));
}

RC_GTEST_PROP(UpgradeProperty, ACopyOfAnInvoiceChangesNothing, ()) {
  const Life life = *any();
  std::vector<Json> more = life.invoices;
  more.push_back(*rc::gen::elementOf(life.invoices));
  RC_ASSERT(to_json(all(more)) == to_json(all(life.invoices)));
}

RC_GTEST_PROP(UpgradeProperty, ACycleNeverGrantsMoreThanItsHighestLevel, ()) {
  const Life life = *any();
  Amount upgrades = 0;
  for (const PlannedGrant& grant : all(life.invoices)) {
    if (grant.source == "upgrade") upgrades += grant.amount;
    RC_ASSERT(grant.amount >= 0);
    RC_ASSERT(grant.amount <= grant.full);
  }
  RC_ASSERT(upgrades <= life.highest - life.lowest);
}

RC_GTEST_PROP(UpgradeProperty, AnEarlierInvoiceOnlyLowersLaterGrants, ()) {
  const Life life = *any();
  std::vector<Json> fewer = life.invoices;
  fewer.erase(fewer.begin() +
              *rc::gen::inRange<std::ptrdiff_t>(0, static_cast<std::ptrdiff_t>(fewer.size())));
  const auto with = all(life.invoices);
  for (const PlannedGrant& grant : all(fewer)) RC_ASSERT(amount_of(with, grant.key) <= grant.amount);
}

RC_GTEST_PROP(UpgradeProperty, KeysAreUnique, ()) {
  std::set<std::string> keys;
  for (const PlannedGrant& grant : all((*any()).invoices)) RC_ASSERT(keys.insert(grant.key).second);
}

// Restarting again and again, at any time and price, never brings more than one lot of each price and the
// time that has passed.
RC_GTEST_PROP(UpgradeProperty, RestartsGrantNoMoreThanTime, ()) {
  const std::vector<std::string> names = {"pro", "pro_year"};
  std::vector<Json> invoices = {base("pro")};
  Seconds at = month(0);
  Seconds last_month = month(1);
  Seconds last_year = month(0);
  for (int number = 2; number < 12; ++number) {
    at += *rc::gen::inRange<Seconds>(1, 9 * kDay);
    const std::string name = *rc::gen::elementOf(names);
    const Seconds until = name == "pro" ? after_month(at) : after_year(at);
    (name == "pro" ? last_month : last_year) = until;
    invoices.push_back(restart("in_" + std::to_string(number), at, until, name));
  }
  const Amount months = 300 + 300 * ((last_month - month(0)) / (28 * kDay) + 1);
  const Amount years =
      last_year == month(0) ? 0 : 3600 + 3600 * (last_year - month(0) - 365 * kDay) / (365 * kDay);
  RC_ASSERT(total(all(invoices)) <= months + years);
}

}  // namespace
}  // namespace billing::credits
