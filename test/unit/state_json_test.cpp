// What get_user_subscription_state answers: exactly these keys, times in UTC, null where there is nothing.
#include <gtest/gtest.h>

#include <set>

#include "core/scheduled_change.hpp"
#include "core/subscription_state.hpp"
#include "fixtures.hpp"

namespace billing {
namespace {

using fixtures::kDay;
using fixtures::kEnd;
using fixtures::kSlackEnd;
using fixtures::kStart;
using fixtures::with_status;

Json of_user(const std::vector<Subscription>& all, Seconds now = kStart) {
  return state_json("user_1", all, judge_user(all, {}, instant(now)));
}

std::set<std::string> keys_of(const Json& object) {
  std::set<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.insert(key);
  return keys;
}

TEST(StateJson, HasExactlyItsKeys) {
  const std::set<std::string> expected = {"user_id",
                                          "state",
                                          "stripe_status",
                                          "plan",
                                          "price_id",
                                          "quantity",
                                          "has_access",
                                          "can_use_credits",
                                          "can_purchase",
                                          "reason",
                                          "next_step",
                                          "access_until",
                                          "renews_at",
                                          "ends_at",
                                          "stale",
                                          "current_period_start",
                                          "current_period_end",
                                          "trial_end",
                                          "cancel_at_period_end",
                                          "scheduled_change",
                                          "subscriptions",
                                          "stripe_customer_id",
                                          "stripe_subscription_id",
                                          "livemode",
                                          "access_grants",
                                          "ambiguous"};
  EXPECT_EQ(keys_of(of_user({})), expected);
  EXPECT_EQ(keys_of(of_user({with_status("active")})), expected);
}

TEST(StateJson, SubscriptionsHaveExactlyTheirKeys) {
  const std::set<std::string> expected = {"stripe_subscription_id",
                                          "state",
                                          "stripe_status",
                                          "has_access",
                                          "reason",
                                          "next_step",
                                          "access_until",
                                          "renews_at",
                                          "ends_at",
                                          "stale",
                                          "current_period_start",
                                          "current_period_end",
                                          "trial_end",
                                          "cancel_at_period_end",
                                          "pause_collection",
                                          "scheduled_change",
                                          "ambiguous",
                                          "items",
                                          "items_truncated",
                                          "plan"};
  const Json one = of_user({with_status("active")})["subscriptions"].at(0);
  EXPECT_EQ(keys_of(one), expected);
  EXPECT_EQ(keys_of(one["items"].at(0)),
            (std::set<std::string>{"price_id", "product_id", "lookup_key", "quantity", "unit_amount",
                                   "currency", "interval", "current_period_start", "current_period_end"}));
}

TEST(StateJson, WithoutASubscription) {
  const Json json = of_user({});
  EXPECT_EQ(json["user_id"], "user_1");
  EXPECT_EQ(json["state"], "no_subscription");
  EXPECT_EQ(json["reason"], "no_subscription");
  EXPECT_EQ(json["next_step"], "subscribe");
  EXPECT_EQ(json["can_purchase"], true);
  for (const char* key : {"has_access", "can_use_credits", "stale", "cancel_at_period_end", "ambiguous"}) {
    EXPECT_EQ(json[key], false) << key;
  }
  EXPECT_EQ(json["subscriptions"], Json::array());
  for (const char* key : {"stripe_status", "plan", "price_id", "quantity", "access_until", "renews_at",
                          "ends_at", "current_period_start", "current_period_end", "trial_end",
                          "scheduled_change", "stripe_customer_id", "stripe_subscription_id", "livemode"}) {
    EXPECT_TRUE(json[key].is_null()) << key;
  }
}

TEST(StateJson, ThePrimarySubscriptionSpeaks) {
  const Json json = of_user({with_status("active")});
  EXPECT_EQ(json["state"], "active");
  EXPECT_EQ(json["stripe_status"], "active");
  EXPECT_EQ(json["plan"], "pro");
  EXPECT_EQ(json["price_id"], "price_pro");
  EXPECT_EQ(json["quantity"], 2);
  EXPECT_EQ(json["has_access"], true);
  EXPECT_EQ(json["can_use_credits"], true);
  EXPECT_EQ(json["can_purchase"], false);
  EXPECT_TRUE(json["next_step"].is_null());
  EXPECT_EQ(json["access_until"], "2026-02-03T00:00:00+00:00");
  EXPECT_EQ(json["renews_at"], "2026-01-31T00:00:00+00:00");
  EXPECT_EQ(json["current_period_start"], "2026-01-01T00:00:00+00:00");
  EXPECT_EQ(json["current_period_end"], "2026-01-31T00:00:00+00:00");
  EXPECT_EQ(json["stripe_customer_id"], "cus_1");
  EXPECT_EQ(json["stripe_subscription_id"], "sub_1");
  EXPECT_EQ(json["livemode"], true);
}

TEST(StateJson, Items) {
  const Json item = of_user({with_status("active")})["subscriptions"][0]["items"].at(0);
  EXPECT_EQ(item, Json({{"price_id", "price_pro"},
                        {"product_id", "prod_pro"},
                        {"lookup_key", "pro"},
                        {"quantity", 2},
                        {"unit_amount", 2900},
                        {"currency", "eur"},
                        {"interval", "month"},
                        {"current_period_start", "2026-01-01T00:00:00+00:00"},
                        {"current_period_end", "2026-01-31T00:00:00+00:00"}}));
  Subscription bare = with_status("active");
  bare.items = {SubscriptionItem{}};
  const Json nothing = of_user({bare});
  EXPECT_TRUE(nothing["plan"].is_null());
  EXPECT_TRUE(nothing["price_id"].is_null());
  EXPECT_TRUE(nothing["subscriptions"][0]["items"][0]["unit_amount"].is_null());
  bare.items.clear();
  bare.items_truncated = true;
  EXPECT_TRUE(of_user({bare})["quantity"].is_null());
  EXPECT_EQ(of_user({bare})["subscriptions"][0]["items"], Json::array());
  EXPECT_EQ(of_user({bare})["subscriptions"][0]["items_truncated"], true);
}

TEST(StateJson, AccessOfTheUnionAndOfEach) {
  Subscription shorter = with_status("active");
  shorter.id = "sub_2";
  shorter.created = kStart + 1;
  shorter.cancel_at = kStart + kDay;
  const Json json = of_user({with_status("active"), shorter});
  EXPECT_EQ(json["stripe_subscription_id"], "sub_2");
  EXPECT_EQ(json["access_until"], iso_time(kSlackEnd));
  EXPECT_EQ(json["ends_at"], iso_time(kStart + kDay));
  EXPECT_EQ(json["subscriptions"][0]["access_until"], iso_time(kStart + kDay));
  EXPECT_EQ(json["subscriptions"][1]["access_until"], iso_time(kSlackEnd));
}

TEST(StateJson, SubscriptionsAreShownNewestFirst) {
  const auto named = [](const char* id, Seconds created) {
    Subscription one = with_status("active");
    one.id = id;
    one.created = created;
    return one;
  };
  const Json json = of_user({named("sub_1", kStart), named("sub_3", kStart - 5), named("sub_2", kStart)});
  EXPECT_EQ(json["subscriptions"][0]["stripe_subscription_id"], "sub_2");
  EXPECT_EQ(json["subscriptions"][1]["stripe_subscription_id"], "sub_1");
  EXPECT_EQ(json["subscriptions"][2]["stripe_subscription_id"], "sub_3");
}

TEST(StateJson, PauseOfCollectionIsShownUntilItResumes) {
  Subscription one = with_status("active");
  EXPECT_TRUE(of_user({one})["subscriptions"][0]["pause_collection"].is_null());
  one.pause_behavior = "void";
  EXPECT_EQ(of_user({one})["subscriptions"][0]["pause_collection"],
            Json({{"behavior", "void"}, {"resumes_at", nullptr}}));
  one.pause_resumes_at = kStart + kDay;
  EXPECT_EQ(of_user({one})["subscriptions"][0]["pause_collection"],
            Json({{"behavior", "void"}, {"resumes_at", iso_time(kStart + kDay)}}));
  EXPECT_TRUE(of_user({one}, kStart + kDay)["subscriptions"][0]["pause_collection"].is_null());
}

TEST(StateJson, ScheduledChangeIsShownUntilItHappens) {
  Subscription one = with_status("active");
  one.scheduled_change = change_by_schedule(fixtures::schedule());
  const Json before = of_user({one});
  EXPECT_EQ(before["scheduled_change"]["price_id"], "price_pro");
  EXPECT_EQ(before["subscriptions"][0]["scheduled_change"], before["scheduled_change"]);
  EXPECT_TRUE(of_user({one}, kEnd)["scheduled_change"].is_null());
}

TEST(StateJson, UnknownStatusIsShownAsItIs) {
  const Json json = of_user({with_status("hibernating")});
  EXPECT_EQ(json["stripe_status"], "hibernating");
  EXPECT_EQ(json["state"], "incomplete");
  EXPECT_EQ(json["reason"], "unknown_status");
}

}  // namespace
}  // namespace billing
