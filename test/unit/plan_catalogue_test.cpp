// Which plan a price is, and which of several counts.
#include "core/plan_catalogue.hpp"

#include <gtest/gtest.h>

namespace billing {
namespace {

Plan plan(const char* text) { return parse_plan(parse_json(text)); }

const Plans& catalogue() {
  static const Plans plans(
      {plan(R"({"id": "pro", "rank": 20, "prices": [{"price_id": "price_pro"}, {"lookup_key": "pro"}]})"),
       plan(R"({"id": "free", "default": true, "prices": [{"price_id": "price_free"}]})"),
       plan(R"({"id": "team", "rank": 30, "prices": [{"product_id": "prod_team"}]})"),
       plan(R"({"id": "seats", "rank": 90, "addon": true, "prices": [{"price_id": "price_seat"}]})"),
       plan(R"({"id": "told"})")},
      {{{"", false, "price_told"}, {"told", "", ""}},
       {{"", false, "price_keyed"}, {"", "pro", "prod_x"}},
       {{"", false, "prod_told"}, {"told", "", ""}},
       {{"", false, "price_wrong"}, {"nothing", "", "prod_told"}},
       {{"", true, "price_live"}, {"told", "", ""}},
       {{"acct_1", false, "price_connected"}, {"told", "", ""}}});
  return plans;
}

std::string plan_of(const PriceReference& price) {
  const Plan* found = catalogue().plan_of(price);
  return found != nullptr ? found->id : "";
}

SubscriptionItem item(const char* price, std::int64_t quantity = 1, std::optional<std::int64_t> amount = 0) {
  SubscriptionItem made;
  made.price_id = price;
  made.quantity = quantity;
  made.unit_amount = amount;
  return made;
}

Subscription with(std::vector<SubscriptionItem> items) {
  Subscription made;
  made.items = std::move(items);
  return made;
}

TEST(PlanOfPrice, ByIdThenLookupKeyThenProductThenMetadata) {
  EXPECT_EQ(plan_of({"", false, "price_pro", "", ""}), "pro");
  EXPECT_EQ(plan_of({"", false, "price_pro", "", "prod_team"}), "pro");
  EXPECT_EQ(plan_of({"", false, "price_1", "pro", "prod_team"}), "pro");
  EXPECT_EQ(plan_of({"", false, "price_1", "", "prod_team"}), "team");
  EXPECT_EQ(plan_of({"", false, "price_told", "", "prod_team"}), "team");
  EXPECT_EQ(plan_of({"", false, "price_told", "", "prod_1"}), "told");
  EXPECT_EQ(plan_of({"", false, "price_1", "", "prod_told"}), "told");
  EXPECT_EQ(plan_of({"", false, "price_1", "", "prod_1"}), "");
  EXPECT_EQ(plan_of({"", false, "", "", ""}), "");
}

TEST(PlanOfPrice, WhatTheItemDoesNotSayTheMirrorMay) {
  EXPECT_EQ(plan_of({"", false, "price_keyed", "", ""}), "pro");
  // Metadata that names no plan of ours says nothing.
  EXPECT_EQ(plan_of({"", false, "price_wrong", "", ""}), "told");
}

TEST(PlanOfPrice, MetadataCountsWhereItWasWritten) {
  EXPECT_EQ(plan_of({"", false, "price_live", "", ""}), "");
  EXPECT_EQ(plan_of({"", true, "price_live", "", ""}), "told");
  EXPECT_EQ(plan_of({"", false, "price_connected", "", ""}), "");
  EXPECT_EQ(plan_of({"acct_1", false, "price_connected", "", ""}), "told");
}

TEST(PlanOfSubscription, ThePlanBeforeItsAddOnsAndTheHighestOfSeveral) {
  const Subscription both = with({item("price_seat", 3), item("price_pro"), item("price_other")});
  ASSERT_NE(catalogue().plan_of(both), nullptr);
  EXPECT_EQ(catalogue().plan_of(both)->id, "pro");
  const auto shares = catalogue().plans_of(both);
  ASSERT_EQ(shares.size(), 2U);
  EXPECT_EQ(shares[0].plan->id, "seats");
  EXPECT_EQ(shares[0].quantity, 3);
  EXPECT_EQ(catalogue().plan_of(with({item("price_free"), item("price_pro")}))->id, "pro");
  EXPECT_EQ(catalogue().plan_of(with({item("price_seat")}))->id, "seats");
  EXPECT_EQ(catalogue().plan_of(with({item("price_other")})), nullptr);
  EXPECT_EQ(catalogue().plan_of(with({})), nullptr);
}

TEST(FreePlan, IsTheDefaultPlanAtNoCostAndNothingElse) {
  EXPECT_TRUE(is_free_plan(with({item("price_free")}), catalogue()));
  EXPECT_FALSE(is_free_plan(with({item("price_free", 1, 500)}), catalogue()));
  EXPECT_FALSE(is_free_plan(with({item("price_free", 1, std::nullopt)}), catalogue()));
  EXPECT_FALSE(is_free_plan(with({item("price_pro")}), catalogue()));
  EXPECT_FALSE(is_free_plan(with({item("price_free"), item("price_seat")}), catalogue()));
  EXPECT_FALSE(is_free_plan(with({}), catalogue()));
  const Plans none;
  EXPECT_FALSE(is_free_plan(with({item("price_free")}), none));
}

TEST(Catalogue, FindsByIdAndKnowsTheDefault) {
  EXPECT_EQ(catalogue().find("team")->rank, 30);
  EXPECT_EQ(catalogue().find("Team"), nullptr);
  EXPECT_EQ(catalogue().find(""), nullptr);
  EXPECT_EQ(catalogue().default_plan()->id, "free");
  EXPECT_EQ(Plans().default_plan(), nullptr);
  EXPECT_TRUE(Plans().empty());
}

}  // namespace
}  // namespace billing
