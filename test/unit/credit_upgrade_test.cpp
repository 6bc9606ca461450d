// What proration lines grant: changes within a cycle.
#include <gtest/gtest.h>

#include "credit_fixtures.hpp"

namespace billing::credits {
namespace {

using namespace fixtures;

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

}  // namespace
}  // namespace billing::credits
