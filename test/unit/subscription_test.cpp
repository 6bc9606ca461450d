// Stripe's subscription and schedule, read into what the rules judge.
#include "core/subscription.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "fixtures.hpp"

namespace billing {
namespace {

using fixtures::kDay;
using fixtures::kEnd;
using fixtures::kStart;

TEST(Subscription, BothShapesReadAlike) {
  for (const Json& object : {fixtures::old_subscription(), fixtures::new_subscription()}) {
    const Subscription read = read_subscription(object);
    EXPECT_EQ(read.id, "sub_1");
    EXPECT_EQ(read.customer_id, "cus_1");
    EXPECT_TRUE(read.livemode);
    EXPECT_EQ(read.status, "active");
    EXPECT_EQ(read.period_start, kStart);
    EXPECT_EQ(read.period_end, kEnd);
    EXPECT_EQ(read.next_renewal, kEnd);
    EXPECT_EQ(read.trial_end, std::nullopt);
    EXPECT_FALSE(read.cancel_at_period_end);
    EXPECT_EQ(read.cancel_at, std::nullopt);
    EXPECT_EQ(read.collection_method, "charge_automatically");
    EXPECT_EQ(read.latest_invoice_id, "in_1");
    EXPECT_EQ(read.schedule_id, "");
    EXPECT_EQ(read.created, kStart);
    EXPECT_EQ(read.metadata, Json({{"user_id", "user_1"}}));
    EXPECT_EQ(read.pause_behavior, "");
    EXPECT_FALSE(read.items_truncated);
    ASSERT_EQ(read.items.size(), 1U);
    const SubscriptionItem& item = read.items.front();
    EXPECT_EQ(item.id, "si_1");
    EXPECT_EQ(item.price_id, "price_pro");
    EXPECT_EQ(item.product_id, "prod_pro");
    EXPECT_EQ(item.lookup_key, "pro");
    EXPECT_EQ(item.quantity, 2);
    EXPECT_EQ(item.unit_amount, 2900);
    EXPECT_EQ(item.currency, "eur");
    EXPECT_EQ(item.interval, "month");
    EXPECT_EQ(item.period_start, kStart);
    EXPECT_EQ(item.period_end, kEnd);
  }
}

TEST(Subscription, EveryInstantIsRead) {
  Json object = fixtures::new_subscription();
  object["trial_start"] = kStart + 1;
  object["trial_end"] = kStart + 2;
  object["cancel_at"] = kStart + 3;
  object["canceled_at"] = kStart + 4;
  object["ended_at"] = kStart + 5;
  object["cancel_at_period_end"] = true;
  object["pause_collection"] = {{"behavior", "keep_as_draft"}, {"resumes_at", kStart + 6}};
  object["schedule"] = "sub_sched_1";
  object["latest_invoice"] = {{"id", "in_2"}};
  object["customer"] = {{"id", "cus_2"}, {"object", "customer"}};
  const Subscription read = read_subscription(object);
  EXPECT_EQ(read.trial_start, kStart + 1);
  EXPECT_EQ(read.trial_end, kStart + 2);
  EXPECT_EQ(read.cancel_at, kStart + 3);
  EXPECT_EQ(read.canceled_at, kStart + 4);
  EXPECT_EQ(read.ended_at, kStart + 5);
  EXPECT_TRUE(read.cancel_at_period_end);
  EXPECT_EQ(read.pause_behavior, "keep_as_draft");
  EXPECT_EQ(read.pause_resumes_at, kStart + 6);
  EXPECT_EQ(read.schedule_id, "sub_sched_1");
  EXPECT_EQ(read.latest_invoice_id, "in_2");
  EXPECT_EQ(read.customer_id, "cus_2");
}

TEST(Subscription, ItemsKeepStripesOrderAndTheirTruncation) {
  Json object = fixtures::new_subscription();
  Json second = fixtures::item("si_2");
  second["price"] = fixtures::price("price_seat", "prod_seat");
  second["quantity"] = 7;
  object["items"]["data"].push_back(second);
  object["items"]["has_more"] = true;
  const Subscription read = read_subscription(object);
  ASSERT_EQ(read.items.size(), 2U);
  EXPECT_EQ(read.items[0].price_id, "price_pro");
  EXPECT_EQ(read.items[1].price_id, "price_seat");
  EXPECT_EQ(read.items[1].quantity, 7);
  EXPECT_TRUE(read.items_truncated);
}

TEST(Subscription, ItemsFromBeforePricesHaveAPlan) {
  Json object = fixtures::old_subscription();
  object["items"] =
      fixtures::list(Json::array({{{"id", "si_1"}, {"plan", fixtures::plan()}, {"quantity", 3}}}));
  const Subscription read = read_subscription(object);
  ASSERT_EQ(read.items.size(), 1U);
  EXPECT_EQ(read.items[0].price_id, "plan_pro");
  EXPECT_EQ(read.items[0].product_id, "prod_pro");
  EXPECT_EQ(read.items[0].unit_amount, 2900);
  EXPECT_EQ(read.items[0].interval, "month");
  EXPECT_EQ(read.items[0].lookup_key, "");
  EXPECT_EQ(read.items[0].quantity, 3);
}

TEST(Subscription, TheOldestShapeHasOnePlanAndNoItems) {
  Json object = fixtures::old_subscription();
  object.erase("items");
  object["plan"] = fixtures::plan();
  object["quantity"] = 4;
  const Subscription read = read_subscription(object);
  ASSERT_EQ(read.items.size(), 1U);
  EXPECT_EQ(read.items[0].id, "");
  EXPECT_EQ(read.items[0].price_id, "plan_pro");
  EXPECT_EQ(read.items[0].quantity, 4);
  EXPECT_EQ(read.items[0].period_end, kEnd);
}

TEST(Subscription, ItemsOfMeteredOrTieredPricesLackNumbers) {
  Json object = fixtures::new_subscription();
  object["items"]["data"][0].erase("quantity");
  object["items"]["data"][0]["price"]["unit_amount"] = nullptr;
  object["items"]["data"][0]["price"]["lookup_key"] = nullptr;
  const SubscriptionItem item = read_subscription(object).items.at(0);
  EXPECT_EQ(item.quantity, 1);
  EXPECT_EQ(item.unit_amount, std::nullopt);
  EXPECT_EQ(item.lookup_key, "");
}

TEST(Subscription, PriceThatIsOnlyAnId) {
  Json object = fixtures::new_subscription();
  object["items"]["data"][0]["price"] = "price_bare";
  EXPECT_EQ(read_subscription(object).items.at(0).price_id, "price_bare");
}

TEST(Subscription, UnknownWordsAreKept) {
  Json object = fixtures::new_subscription();
  object["status"] = "hibernating";
  EXPECT_EQ(read_subscription(object).status, "hibernating");
}

TEST(Subscription, NothingUsable) {
  for (const Json& object :
       {Json(), Json(5), Json::array(), Json::object(), Json{{"items", {{"data", {1, "x", nullptr}}}}}}) {
    const Subscription read = read_subscription(object);
    EXPECT_EQ(read.status, "");
    EXPECT_EQ(read.period_end, std::nullopt);
  }
}

}  // namespace
}  // namespace billing
