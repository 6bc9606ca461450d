// What is going to change: the next phase that sells something else, an end, an update that waits for
// payment.
#include "core/scheduled_change.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/subscription_state.hpp"
#include "fixtures.hpp"

namespace billing {
namespace {

using fixtures::kDay;
using fixtures::kEnd;
using fixtures::kStart;

Json phase(Seconds start, const std::string& price, int quantity = 1) {
  return {{"start_date", start},
          {"end_date", start + 30 * kDay},
          {"items", Json::array({{{"price", price}, {"quantity", quantity}}})}};
}

Json schedule_of(std::vector<Json> phases) {
  Json schedule = fixtures::schedule();
  schedule["phases"] = phases;
  schedule["end_behavior"] = "release";
  return schedule;
}

TEST(ScheduledChange, IsThePhaseAfterTheCurrentOne) {
  EXPECT_EQ(change_by_schedule(fixtures::schedule()),
            Json({{"effective_at", iso_time(kEnd)},
                  {"action", "change"},
                  {"source", "schedule"},
                  {"price_id", "price_pro"},
                  {"quantity", 3},
                  {"items", Json::array({{{"price_id", "price_pro"}, {"quantity", 3}}})}}));
}

TEST(ScheduledChange, DoesNotDependOnTheOrderOfPhases) {
  Json schedule = fixtures::schedule();
  std::reverse(schedule["phases"].begin(), schedule["phases"].end());
  EXPECT_EQ(change_by_schedule(schedule)["price_id"], "price_pro");
}

TEST(ScheduledChange, IsNoneAfterTheLastPhase) {
  Json schedule = fixtures::schedule();
  schedule["current_phase"] = {{"start_date", kEnd + 30 * kDay}, {"end_date", kEnd + 60 * kDay}};
  EXPECT_TRUE(change_by_schedule(schedule).is_null());
}

TEST(ScheduledChange, IsNoneWhenTheScheduleIsOver) {
  for (const char* status : {"released", "canceled", "completed"}) {
    Json schedule = fixtures::schedule();
    schedule["status"] = status;
    EXPECT_TRUE(change_by_schedule(schedule).is_null()) << status;
  }
}

TEST(ScheduledChange, OfOneNotStartedIsItsFirstPhase) {
  Json schedule = fixtures::schedule();
  schedule["status"] = "not_started";
  schedule["current_phase"] = nullptr;
  EXPECT_EQ(change_by_schedule(schedule)["price_id"], "price_basic");
  schedule["status"] = "active";
  EXPECT_TRUE(change_by_schedule(schedule).is_null());
}

TEST(ScheduledChange, PhaseWithoutAnEndIsFollowedByALaterStart) {
  Json schedule = fixtures::schedule();
  schedule["current_phase"] = {{"start_date", kStart}};
  EXPECT_EQ(change_by_schedule(schedule)["price_id"], "price_pro");
}

TEST(ScheduledChange, PhaseThatSellsTheSameIsNone) {
  Json same = phase(kEnd, "price_pro");
  same["metadata"] = {{"campaign", "spring"}};
  EXPECT_TRUE(change_by_schedule(schedule_of({phase(kStart, "price_pro"), same})).is_null());
  const Json change = change_by_schedule(
      schedule_of({phase(kStart, "price_pro"), same, phase(kEnd + 30 * kDay, "price_max")}));
  EXPECT_EQ(change["price_id"], "price_max");
  EXPECT_EQ(change["effective_at"], iso_time(kEnd + 30 * kDay));
}

TEST(ScheduledChange, OfTheQuantityAloneIsOne) {
  const Json change =
      change_by_schedule(schedule_of({phase(kStart, "price_pro", 2), phase(kEnd, "price_pro", 5)}));
  EXPECT_EQ(change["price_id"], "price_pro");
  EXPECT_EQ(change["quantity"], 5);
}

TEST(ScheduledChange, OfItemsInAnotherOrderIsNone) {
  Json now = phase(kStart, "price_pro");
  now["items"].push_back({{"price", "price_seat"}, {"quantity", 3}});
  Json then = now;
  then["start_date"] = kEnd;
  std::reverse(then["items"].begin(), then["items"].end());
  EXPECT_TRUE(change_by_schedule(schedule_of({now, then})).is_null());
}

TEST(ScheduledChange, IsTheEndWhereTheScheduleCancels) {
  Json schedule = schedule_of({phase(kStart, "price_pro")});
  EXPECT_TRUE(change_by_schedule(schedule).is_null());
  schedule["end_behavior"] = "cancel";
  EXPECT_EQ(change_by_schedule(schedule)["action"], "cancel");
  EXPECT_EQ(change_by_schedule(schedule)["effective_at"], iso_time(kEnd));
  schedule["phases"].push_back(phase(kEnd, "price_max"));
  EXPECT_EQ(change_by_schedule(schedule)["action"], "change");
}

TEST(ScheduledChange, MayWaitForItsPayment) {
  Json object = fixtures::new_subscription();
  EXPECT_TRUE(change_by_pending_update(object).is_null());
  object["pending_update"] = {
      {"expires_at", kStart + kDay},
      {"subscription_items",
       Json::array({{{"price", fixtures::price("price_max", "prod_max")}, {"quantity", 2}}})}};
  const Subscription one = read_subscription(object);
  EXPECT_EQ(one.scheduled_change["source"], "pending_update");
  EXPECT_EQ(one.scheduled_change["price_id"], "price_max");
  EXPECT_TRUE(one.scheduled_change["effective_at"].is_null());
  EXPECT_TRUE(judge(one, {}, instant(kStart + kDay) - 1).change_pending);
  EXPECT_FALSE(judge(one, {}, instant(kStart + kDay)).change_pending);
}

TEST(ScheduledChange, NamesThePlanThatComes) {
  Plan max;
  max.id = "max";
  max.prices = {{"price_id", "price_pro", ""}};
  std::vector<Plan> all;
  all.push_back(max);
  AccessRules rules;
  rules.plans = std::make_shared<const Plans>(std::move(all), PlanHints{});
  Subscription one = read_subscription(fixtures::new_subscription());
  one.scheduled_change = change_by_schedule(fixtures::schedule());
  const std::vector<Subscription> owned = {one};
  const Json state = state_json("user_1", owned, judge_user(owned, rules, instant(kStart)));
  EXPECT_EQ(state["scheduled_change"]["plan"], "max");
  EXPECT_TRUE(
      state_json("user_1", owned, judge_user(owned, rules, instant(kEnd)))["scheduled_change"].is_null());
}

TEST(ScheduledChange, OfOddShapesIsNone) {
  for (const Json& odd :
       {Json(), Json(5), Json::array(), Json{{"phases", {1, nullptr}}, {"status", "active"}},
        Json{{"pending_update", {{"subscription_items", {1}}}}}}) {
    EXPECT_TRUE(change_by_schedule(odd).is_null());
    change_by_pending_update(odd);
    items_of_change(odd);
  }
}

}  // namespace
}  // namespace billing
