// What plans and grants do to the state of a user.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "core/subscription_state.hpp"
#include "generators.hpp"

namespace billing {
namespace {

using fixtures::kDay;
using fixtures::kEnd;
using fixtures::kSlackEnd;
using fixtures::kStart;
using fixtures::with_status;

AccessRules planned() {
  AccessRules rules;
  std::vector<Plan> plans;
  for (const char* text :
       {R"({"id": "free", "default": true, "prices": [{"price_id": "price_free"}]})",
        R"({"id": "pro", "rank": 20, "prices": [{"price_id": "price_pro"}]})",
        R"({"id": "team", "rank": 30, "prices": [{"price_id": "price_team"}]})",
        R"({"id": "seats", "rank": 90, "addon": true, "prices": [{"price_id": "price_seat"}]})"})
    plans.push_back(parse_plan(parse_json(text)));
  rules.plans = std::make_shared<const Plans>(std::move(plans), PlanHints{});
  return rules;
}

Subscription sold(const std::string& price, const std::string& id = "sub_1", Seconds created = kStart) {
  Subscription one = with_status("active");
  one.id = id;
  one.created = created;
  one.items.resize(1);
  one.items[0].price_id = price;
  one.items[0].lookup_key.clear();
  one.items[0].product_id.clear();
  return one;
}

AccessGrant grant(const std::string& plan, std::optional<Seconds> until = std::nullopt) {
  return {plan, "a friend", kStart - kDay, until, std::nullopt};
}

TEST(PlanState, EachSubscriptionHasItsPlan) {
  const SubscriptionState state = judge(sold("price_pro"), planned(), instant(kStart));
  EXPECT_TRUE(state.has_access);
  EXPECT_EQ(state.plan, "pro");
  EXPECT_EQ(state.access_until, kSlackEnd);
}

TEST(PlanState, APriceOfNoPlanGivesNoAccessOnceThereArePlans) {
  const Subscription other = sold("price_other");
  EXPECT_TRUE(judge(other, {}, instant(kStart)).has_access);
  const SubscriptionState state = judge(other, planned(), instant(kStart));
  EXPECT_EQ(state.state, "active");
  EXPECT_FALSE(state.has_access);
  EXPECT_EQ(state.reason, "unmapped_price");
  EXPECT_EQ(state.next_step, "map_price");
  EXPECT_EQ(state.access_until, std::nullopt);
  EXPECT_TRUE(state.live);
  EXPECT_EQ(judge(other, planned(), instant(kSlackEnd)).reason, "renewal_not_confirmed");
  AccessRules lenient = planned();
  lenient.unmapped_price_access = true;
  EXPECT_TRUE(judge(other, lenient, instant(kStart)).has_access);
  EXPECT_FALSE(judge_user({other}, planned(), instant(kStart)).can_purchase);
}

TEST(PlanState, OfSeveralTheHighestRankCountsThenTheNewest) {
  const Subscription team = sold("price_team", "sub_1", kStart - 9 * kDay);
  const Subscription pro = sold("price_pro", "sub_2");
  const Subscription other_pro = sold("price_pro", "sub_3", kStart + 1);
  const Subscription seats = sold("price_seat", "sub_4", kStart + 2);
  const auto primary = [&](std::vector<Subscription> all) {
    const UserState state = judge_user(all, planned(), instant(kStart + 3));
    return all[*state.primary].id;
  };
  EXPECT_EQ(primary({pro, team, other_pro, seats}), "sub_1");
  EXPECT_EQ(primary({seats, pro, other_pro}), "sub_3");
  EXPECT_EQ(primary({seats}), "sub_4");
  Subscription ended = team;
  ended.status = "incomplete_expired";
  EXPECT_EQ(primary({ended, pro}), "sub_2");
}

TEST(PlanState, TheFreePlanDoesNotBlockAPurchase) {
  Subscription free = sold("price_free");
  free.items[0].unit_amount = 0;
  EXPECT_TRUE(judge_user({free}, planned(), instant(kStart)).can_purchase);
  EXPECT_FALSE(judge_user({free}, {}, instant(kStart)).can_purchase);
  EXPECT_FALSE(judge_user({free, sold("price_pro", "sub_2")}, planned(), instant(kStart)).can_purchase);
  free.items[0].unit_amount = 100;
  EXPECT_FALSE(judge_user({free}, planned(), instant(kStart)).can_purchase);
}

TEST(Grant, GivesAccessFromWhenItWasMadeUntilItsEnd) {
  const AccessGrant one = grant("pro", kEnd);
  for (const auto& [at, access] : std::vector<std::pair<Seconds, bool>>{
           {kStart - 2 * kDay, false}, {kStart - kDay, true}, {kEnd - 1, true}, {kEnd, false}}) {
    const UserState state = judge_user({}, planned(), instant(at), {one});
    EXPECT_EQ(state.effective.has_access, access) << at;
    EXPECT_EQ(state.effective.reason, access ? "granted_access" : "no_subscription");
    EXPECT_EQ(state.access_until, access ? std::optional(kEnd) : std::nullopt);
    EXPECT_TRUE(state.can_purchase);
  }
  const UserState during = judge_user({}, planned(), instant(kStart), {one});
  EXPECT_EQ(during.valid_from, instant(kStart - kDay));
  EXPECT_EQ(during.valid_until, instant(kEnd));
  EXPECT_EQ(judge_user({}, planned(), instant(kStart), {grant("pro")}).access_until, std::nullopt);
}

TEST(Grant, TakenBackItEndsThen) {
  AccessGrant one = grant("pro", kEnd);
  one.revoked = kStart;
  EXPECT_TRUE(judge_grant(one, planned(), instant(kStart - 1)).has_access);
  EXPECT_FALSE(judge_grant(one, planned(), instant(kStart)).has_access);
  one.revoked = kEnd + kDay;
  EXPECT_FALSE(judge_grant(one, planned(), instant(kEnd)).has_access);
}

TEST(Grant, OfAnAddOnOrOfNoPlanIsNoAccess) {
  EXPECT_EQ(judge_grant(grant("seats"), planned(), instant(kStart)).reason, "granted_addon");
  EXPECT_EQ(judge_grant(grant("seats"), planned(), instant(kStart)).state, "active");
  EXPECT_FALSE(judge_user({}, planned(), instant(kStart), {grant("seats")}).effective.has_access);
  EXPECT_FALSE(judge_user({}, planned(), instant(kStart), {grant("gone")}).effective.has_access);
  EXPECT_FALSE(judge_user({}, {}, instant(kStart), {grant("pro")}).effective.has_access);
}

TEST(Grant, StandsForTheUserWhereItsPlanRanksHigher) {
  const auto plan_of = [](std::vector<Subscription> all, std::vector<AccessGrant> grants) {
    const UserState state = judge_user(all, planned(), instant(kStart), grants);
    EXPECT_EQ(state.grant.has_value(), state.effective.reason == "granted_access");
    return state.effective.plan + (state.grant ? " granted" : "");
  };
  EXPECT_EQ(plan_of({sold("price_pro")}, {grant("team")}), "team granted");
  EXPECT_EQ(plan_of({sold("price_pro")}, {grant("pro")}), "pro");
  EXPECT_EQ(plan_of({sold("price_pro")}, {grant("free"), grant("seats")}), "pro");
  EXPECT_EQ(plan_of({sold("price_seat")}, {grant("free")}), "free granted");
  EXPECT_EQ(plan_of({sold("price_other")}, {grant("free"), grant("pro")}), "pro granted");
}

TEST(Grant, TheLatestEndOfAllSourcesCounts) {
  EXPECT_EQ(judge_user({sold("price_team")}, planned(), instant(kStart), {grant("pro", kSlackEnd + kDay)})
                .access_until,
            kSlackEnd + kDay);
  EXPECT_EQ(judge_user({sold("price_team")}, planned(), instant(kStart), {grant("pro", kEnd)}).access_until,
            kSlackEnd);
}

TEST(Grant, IsShownInTheState) {
  const UserState state = judge_user({}, planned(), instant(kStart), {grant("pro", kEnd), grant("seats")});
  const Json json = state_json("user_1", {}, state);
  EXPECT_EQ(json["plan"], "pro");
  EXPECT_EQ(json["state"], "active");
  EXPECT_EQ(json["stripe_status"], nullptr);
  EXPECT_EQ(json["access_grants"],
            parse_json(R"([{"plan": "pro", "until": "2026-01-31T00:00:00+00:00", "reason": "a friend"},
                           {"plan": "seats", "until": null, "reason": "a friend"}])"));
}

struct Case {
  AccessRules rules = planned();
  std::vector<Subscription> subscriptions;
  std::vector<AccessGrant> grants;
  Instant now = 0;
};

Case any_case() {
  Case one;
  const auto prices =
      rc::gen::element<std::string>("price_free", "price_pro", "price_team", "price_seat", "price_other");
  for (int left = *rc::gen::inRange(0, 4); left > 0; --left) {
    Subscription made = *generators::subscription();
    made.id = "sub_" + std::to_string(left);
    for (SubscriptionItem& item : made.items) {
      item.price_id = *prices;
      item.unit_amount = *rc::gen::element<std::int64_t>(0, 100);
    }
    one.subscriptions.push_back(std::move(made));
  }
  for (const char* plan : {"free", "pro", "seats", "gone"})
    if (*rc::gen::arbitrary<bool>())
      one.grants.push_back(
          {plan, "", *generators::near_time(), generators::maybe_time(), generators::maybe_time()});
  one.now = instant(*generators::near_time());
  return one;
}

RC_GTEST_PROP(PlanProperty, NothingChangesWithinTheWindow, ()) {
  const Case one = any_case();
  const UserState state = judge_user(one.subscriptions, one.rules, one.now, one.grants);
  RC_ASSERT(state.valid_from <= one.now && one.now < state.valid_until);
  const Instant first = std::max(state.valid_from, one.now - instant(40 * kDay));
  const Instant last = std::min(state.valid_until - 1, one.now + instant(40 * kDay));
  for (const Instant other : {first, last})
    RC_ASSERT(
        state_json("u", one.subscriptions, judge_user(one.subscriptions, one.rules, other, one.grants)) ==
        state_json("u", one.subscriptions, state));
}

RC_GTEST_PROP(PlanProperty, AccessIsTheUnionOfItsSources, ()) {
  const Case one = any_case();
  const UserState state = judge_user(one.subscriptions, one.rules, one.now, one.grants);
  bool any = false;
  for (const Subscription& subscription : one.subscriptions)
    any = any || judge(subscription, one.rules, one.now).has_access;
  for (const AccessGrant& given : one.grants) any = any || judge_grant(given, one.rules, one.now).has_access;
  RC_ASSERT(state.effective.has_access == any);
  if (any) RC_ASSERT(one.rules.plans->find(state.effective.plan) != nullptr);
  if (!any) RC_ASSERT(state.access_until == std::nullopt);
  // What others give takes nothing away.
  const UserState alone = judge_user(one.subscriptions, one.rules, one.now);
  if (alone.effective.has_access) RC_ASSERT(!(state.effective.weight < alone.effective.weight));
  RC_ASSERT(alone.can_purchase == state.can_purchase);
}

}  // namespace
}  // namespace billing
