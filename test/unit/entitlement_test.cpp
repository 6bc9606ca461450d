// What plans, add-ons, grants, Stripe and a person's hand amount to for one user.
#include "core/entitlement.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <deque>

namespace billing {
namespace {

using Via = HeldPlan::Via;

// Plans that live as long as the test.
class World {
 public:
  const Plan* plan(const std::string& id, const char* features, std::int64_t rank = 0, bool addon = false) {
    plans_.push_back(
        parse_plan({{"id", id}, {"rank", rank}, {"addon", addon}, {"features", parse_json(features)}}));
    return &plans_.back();
  }
  const Plan* addon(const std::string& id, const char* features) { return plan(id, features, 0, true); }

 private:
  std::deque<Plan> plans_;
};

// {given, feature, sources} as text.
std::string shown(const Entitlement& mine) {
  std::string sources;
  for (const std::string& source : mine.sources) sources += " " + source;
  return (mine.given ? to_text(feature_json(mine.feature)) : mine.removed ? "removed" : "none") + sources;
}
std::string resolved(const Holdings& holdings, const char* feature = "f") {
  return shown(resolve(feature, holdings));
}

Holdings holding(std::vector<const Plan*> plans) {
  Holdings holdings;
  for (const Plan* plan : plans) holdings.plans.push_back({Via::subscription, plan});
  return holdings;
}

UserSetting setting(const char* json) { return {parse_feature("f", parse_json(json))}; }

TEST(Entitlement, NothingIsGivenByNobody) {
  EXPECT_EQ(resolved({}), "none");
  World world;
  EXPECT_EQ(resolved(holding({world.plan("pro", R"({"g": true})")})), "none");
  EXPECT_EQ(resolved(holding({world.plan("pro", R"({"f": false})")})), "none");
}

TEST(Entitlement, EachKindAsThePlanStatesIt) {
  World world;
  for (const char* feature : {"true", R"({"limit":5})", R"({"limit":100,"window":"month"})",
                              R"({"unlimited":true})", R"({"value":{"a":[1,2]}})", R"({"credit_cost":3})"}) {
    const std::string features = std::string(R"({"f": )") + feature + "}";
    EXPECT_EQ(resolved(holding({world.plan("pro", features.c_str())})), std::string(feature) + " plan:pro");
  }
}

TEST(Entitlement, TheDefaultPlanCountsOnlyWhereThereIsNoPlan) {
  World world;
  Holdings holdings;
  holdings.default_plan = world.plan("free", R"({"f": {"limit": 50, "window": "month"}})");
  EXPECT_EQ(resolved(holdings), R"({"limit":50,"window":"month"} default:free)");
  holdings.plans = {{Via::subscription, world.addon("more", R"({"f": {"limit": 10, "window": "month"}})")}};
  EXPECT_EQ(resolved(holdings), R"({"limit":60,"window":"month"} default:free addon:more)");
  holdings.plans.push_back({Via::grant, world.plan("pro", R"({"g": true})")});
  EXPECT_EQ(resolved(holdings), R"({"limit":10,"window":"month"} addon:more)");
}

TEST(Entitlement, OfSeveralPlansTheBestOfEach) {
  World world;
  const Plan* small =
      world.plan("small", R"({"f": {"limit": 200, "window": "month"}, "g": true, "h": {"value": 1}})", 1);
  const Plan* large =
      world.plan("large", R"({"f": {"limit": 100, "window": "month"}, "g": false, "h": {"value": 2}})", 2);
  for (const Holdings& holdings : {holding({small, large}), holding({large, small})}) {
    EXPECT_EQ(resolved(holdings), R"({"limit":200,"window":"month"} plan:large plan:small)");
    EXPECT_EQ(resolved(holdings, "g"), "true plan:small");
    EXPECT_EQ(resolved(holdings, "h"), R"({"value":2} plan:large)");
  }
}

TEST(Entitlement, WhatIsCountedOtherwiseCannotBeCompared) {
  World world;
  const Plan* daily = world.plan("daily", R"({"f": {"limit": 10, "window": "day"}})", 1);
  const Plan* monthly = world.plan("monthly", R"({"f": {"limit": 100, "window": "month"}})", 2);
  EXPECT_EQ(resolved(holding({daily, monthly})), R"({"limit":100,"window":"month"} plan:monthly)");
  const Plan* boundless = world.plan("boundless", R"({"f": {"unlimited": true}})");
  EXPECT_EQ(resolved(holding({monthly, boundless})),
            R"({"unlimited":true,"window":"month"} plan:monthly plan:boundless)");
}

TEST(Entitlement, BeyondTheLimitTheFurthestCounts) {
  World world;
  const auto metered = [&](const char* id, const char* rest) {
    return world.plan(id, (R"({"f": {"window": "month", "limit": )" + std::string(rest) + "}}").c_str());
  };
  const Plan* hard = metered("a", "200");
  const Plan* soft = metered("b", R"(100, "mode": "soft")");
  const Plan* over = metered("c", R"(100, "mode": "overage", "overage_limit": 150)");
  const Plan* little = metered("d", R"(100, "mode": "overage", "overage_limit": 50)");
  const Plan* endless = metered("e", R"(100, "mode": "overage")");
  EXPECT_EQ(resolved(holding({hard, soft})), R"({"limit":200,"mode":"soft","window":"month"} plan:a plan:b)");
  EXPECT_EQ(resolved(holding({hard, over})),
            R"({"limit":200,"mode":"overage","overage_limit":50,"window":"month"} plan:a plan:c)");
  EXPECT_EQ(resolved(holding({hard, little})), R"({"limit":200,"window":"month"} plan:a)");
  EXPECT_EQ(resolved(holding({hard, endless})),
            R"({"limit":200,"mode":"overage","window":"month"} plan:a plan:e)");
}

TEST(Entitlement, SeatsMultiply) {
  World world;
  Holdings holdings;
  holdings.plans = {{Via::subscription,
                     world.plan("team", R"({"f": {"limit": 10, "per": "seat"}, "g": {"limit": 10}})"), 4}};
  EXPECT_EQ(resolved(holdings), R"({"limit":40} plan:team)");
  EXPECT_EQ(resolved(holdings, "g"), R"({"limit":10} plan:team)");
  holdings.plans[0].quantity = 0;
  EXPECT_EQ(resolved(holdings), R"({"limit":0} plan:team)");
  holdings.plans[0].quantity = kEndOfTime;
  EXPECT_EQ(resolve("f", holdings).feature.limit, kEndOfTime);
}

TEST(Entitlement, AddOnsAddUp) {
  World world;
  const Plan* pro = world.plan("pro", R"({"f": {"limit": 100, "window": "month"}, "g": false})");
  const Plan* more = world.addon(
      "more", R"({"f": {"limit": 50, "window": "month", "per": "seat"}, "g": true, "h": {"limit": 3}})");
  Holdings holdings = holding({pro, more});
  holdings.plans[1].quantity = 3;
  EXPECT_EQ(resolved(holdings), R"({"limit":250,"window":"month"} plan:pro addon:more)");
  EXPECT_EQ(resolved(holdings, "g"), "true addon:more");
  EXPECT_EQ(resolved(holdings, "h"), R"({"limit":3} addon:more)");
  // Of another window there is nothing to add to.
  holdings.plans.push_back(
      {Via::subscription, world.addon("daily", R"({"f": {"limit": 1, "window": "day"}})")});
  EXPECT_EQ(resolved(holdings), R"({"limit":250,"window":"month"} plan:pro addon:more)");
  holdings.plans.push_back({Via::grant, world.addon("all", R"({"f": {"unlimited": true}})")});
  EXPECT_EQ(resolved(holdings), R"({"unlimited":true,"window":"month"} plan:pro addon:all)");
}

TEST(Entitlement, AddOnsAddWhatMayBeUsedBeyondTheLimitToo) {
  World world;
  const Plan* pro = world.plan("pro", R"({"f": {"limit": 100, "window": "month"}})");
  const Plan* over = world.addon(
      "over", R"({"f": {"limit": 50, "window": "month", "mode": "overage", "overage_limit": 20}})");
  const Plan* soft = world.addon("soft", R"({"f": {"limit": 1, "window": "month", "mode": "soft"}})");
  EXPECT_EQ(resolved(holding({pro, over})),
            R"({"limit":150,"mode":"overage","overage_limit":20,"window":"month"} plan:pro addon:over)");
  EXPECT_EQ(resolved(holding({pro, soft})),
            R"({"limit":101,"mode":"soft","window":"month"} plan:pro addon:soft)");
}

TEST(Entitlement, StripeAllowsAndTakesNothingAway) {
  World world;
  Holdings holdings = holding({world.plan("pro", R"({"f": {"limit": 5}, "g": false})")});
  holdings.stripe_features = {"f", "g", "h"};
  EXPECT_EQ(resolved(holdings), R"({"limit":5} plan:pro)");
  EXPECT_EQ(resolved(holdings, "g"), "true stripe");
  EXPECT_EQ(resolved(holdings, "h"), "true stripe");
  EXPECT_EQ(resolved(holdings, "i"), "none");
}

TEST(Entitlement, WhatIsSetByHandStandsForAllOfIt) {
  World world;
  Holdings holdings = holding({world.plan("team", R"({"f": {"limit": 100, "window": "month"}})")});
  holdings.plans[0].quantity = 3;
  holdings.by_hand["f"] = setting(R"({"limit": 7, "window": "day"})");
  EXPECT_EQ(resolved(holdings), R"({"limit":7,"window":"day"} user)");
  holdings.by_hand["f"] = setting(R"({"limit": 7, "per": "seat"})");
  EXPECT_EQ(resolved(holdings), R"({"limit":21} user)");
  holdings.by_hand["f"] = {};
  EXPECT_EQ(resolved(holdings), "removed user");
  holdings.by_hand["f"] = setting("false");
  EXPECT_EQ(resolved(holdings), "removed user");
  holdings.stripe_features = {"f"};
  EXPECT_EQ(resolved(holdings), "removed user");
}

TEST(Entitlement, AWindowIsThePeriodOfTheSubscriptionThatDecides) {
  World world;
  const Instant now = instant(parse_iso_time("2026-11-20T12:00:00Z").value());
  const OffsetAt utc = [](Seconds) { return Seconds{0}; };
  const auto kind_and_start = [&](const Holdings& holdings) {
    const UsageWindow window = window_of(resolve("f", holdings), "UTC", utc, now);
    return window.kind + " " +
           (window.start == kBeginningOfTime ? "ever" : iso_time(window.start / 1'000'000).substr(0, 10));
  };
  const BillingPeriod period{*parse_iso_time("2026-11-07T08:00:00Z"),
                             *parse_iso_time("2026-12-07T08:00:00Z")};
  Holdings holdings;
  holdings.default_plan = world.plan("free", R"({"f": {"limit": 5, "window": "period"}})");
  EXPECT_EQ(kind_and_start(holdings), "month 2026-11-01");
  holdings.plans = {
      {Via::subscription, world.plan("pro", R"({"f": {"limit": 5, "window": "period"}})", 1), 1, period}};
  EXPECT_EQ(kind_and_start(holdings), "period 2026-11-07");
  // Begun by Stripe's clock, not yet by ours.
  holdings.plans[0].period = {*parse_iso_time("2026-11-20T12:00:02Z"),
                              *parse_iso_time("2026-12-20T12:00:02Z")};
  EXPECT_EQ(kind_and_start(holdings), "period 2026-11-20");
  holdings.plans[0].period = period;
  // A grant of a higher plan has no period of its own.
  holdings.plans.push_back({Via::grant, world.plan("max", R"({"f": {"limit": 9, "window": "period"}})", 2)});
  EXPECT_EQ(kind_and_start(holdings), "month 2026-11-01");
  holdings.plans.pop_back();
  holdings.by_hand["f"] = setting(R"({"limit": 7, "window": "period"})");
  EXPECT_EQ(kind_and_start(holdings), "period 2026-11-07");
  holdings.by_hand["f"] = setting(R"({"limit": 7, "window": "lifetime"})");
  EXPECT_EQ(kind_and_start(holdings), "lifetime ever");
  holdings.by_hand["f"] = setting(R"({"limit": 7})");
  EXPECT_EQ(kind_and_start(holdings), "count ever");
}

// Any feature f, or none.
std::string any_features() {
  const std::int64_t limit = *rc::gen::inRange(0, 5);
  const std::string number = std::to_string(limit);
  switch (*rc::gen::inRange(0, 8)) {
    case 0:
      return "{}";
    case 1:
      return R"({"f": false})";
    case 2:
      return R"({"f": true})";
    case 3:
      return R"({"f": {"unlimited": true, "window": "month"}})";
    case 4:
      return R"({"f": {"limit": )" + number + R"(, "window": "month", "mode": "soft"}})";
    case 5:
      return R"({"f": {"limit": )" + number + R"(, "window": "month", "per": "seat"}})";
    case 6:
      return R"({"f": {"limit": )" + number + R"(, "window": "month", "mode": "overage", "overage_limit": )" +
             std::to_string(*rc::gen::inRange(0, 5)) + "}}";
    default:
      return R"({"f": {"limit": )" + number + R"(, "window": "month"}})";
  }
}

Holdings any_holdings(World& world) {
  Holdings holdings;
  const int count = *rc::gen::inRange(0, 5);
  for (int i = 0; i < count; ++i) {
    const Plan* plan = world.plan("p" + std::to_string(i), any_features().c_str(), *rc::gen::inRange(0, 3),
                                  *rc::gen::inRange(0, 3) == 0);
    holdings.plans.push_back(
        {*rc::gen::element(Via::subscription, Via::grant), plan, *rc::gen::inRange(0, 4)});
  }
  if (*rc::gen::arbitrary<bool>()) holdings.default_plan = world.plan("free", any_features().c_str());
  if (*rc::gen::inRange(0, 4) == 0) holdings.stripe_features.insert("f");
  return holdings;
}

// How much of it may be used in all; uncounted features have no end.
std::int64_t reach(const Entitlement& mine) {
  if (!mine.given) return -1;
  const Feature& feature = mine.feature;
  if (!is_counted(feature) || feature.unlimited || feature.mode == "soft") return kEndOfTime;
  return feature.limit + feature.overage_limit.value_or(0);
}

RC_GTEST_PROP(Entitlement, DoesNotDependOnTheOrderOfSubscriptions, ()) {
  World world;
  const Holdings holdings = any_holdings(world);
  Holdings other = holdings;
  std::reverse(other.plans.begin(), other.plans.end());
  RC_ASSERT(shown(resolve("f", holdings)) == shown(resolve("f", other)));
}

RC_GTEST_PROP(Entitlement, WhoGetsOneMorePlanHasNoLess, ()) {
  World world;
  Holdings holdings = any_holdings(world);
  holdings.default_plan = nullptr;
  const std::int64_t before = reach(resolve("f", holdings));
  // Uncounted gives way to counted only where a higher plan says so.
  const Plan* more = world.plan("more", any_features().c_str(), 0, *rc::gen::arbitrary<bool>());
  if (before == kEndOfTime && !is_counted(resolve("f", holdings).feature)) return;
  holdings.plans.push_back({Via::subscription, more, *rc::gen::inRange(0, 4)});
  RC_ASSERT(reach(resolve("f", holdings)) >= before);
}

RC_GTEST_PROP(Entitlement, EveryGiftHasASource, ()) {
  World world;
  const Holdings holdings = any_holdings(world);
  const Entitlement mine = resolve("f", holdings);
  RC_ASSERT(mine.given == !mine.sources.empty());
  RC_ASSERT(!mine.feature.per_seat);
  RC_ASSERT(!mine.removed);
}

RC_GTEST_PROP(Entitlement, ARemovalIsTheLastWord, ()) {
  World world;
  Holdings holdings = any_holdings(world);
  holdings.by_hand["f"] = {};
  RC_ASSERT(!resolve("f", holdings).given);
}

}  // namespace
}  // namespace billing
