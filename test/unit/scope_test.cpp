// Whether an object is ours, when several systems share one Stripe account.
#include "core/scope.hpp"

#include <gtest/gtest.h>

#include "fixtures.hpp"

namespace billing {
namespace {

using fixtures::event;

std::string message_of(std::string_view value) {
  try {
    parse_scope(value);
  } catch (const JsonError& error) {
    return error.what();
  }
  return "";
}

bool subscription_in(std::string_view scope, const Json& object = fixtures::new_subscription()) {
  return in_scope(parse_scope(scope), event("customer.subscription.updated", object));
}

bool invoice_in(std::string_view scope, const Json& object) {
  return in_scope(parse_scope(scope), event("invoice.paid", object));
}

constexpr const char* kOurProduct = R"({"products":["prod_other","prod_pro"]})";
constexpr const char* kForeignProduct = R"({"products":["prod_other"]})";
constexpr const char* kOurMetadata = R"({"metadata":{"user_id":"user_1"}})";
constexpr const char* kForeignMetadata = R"({"metadata":{"user_id":"user_2"}})";

TEST(Scope, All) {
  EXPECT_TRUE(parse_scope("all").all);
  EXPECT_TRUE(parse_scope("\"all\"").all);
  EXPECT_TRUE(subscription_in("all"));
}

TEST(Scope, Reads) {
  const Scope scope = parse_scope(R"({"products":["prod_1","prod_2"],"metadata":{"app":"shop"}})");
  EXPECT_FALSE(scope.all);
  EXPECT_EQ(scope.products, (std::set<std::string>{"prod_1", "prod_2"}));
  EXPECT_EQ(scope.metadata, (std::map<std::string, std::string>{{"app", "shop"}}));
}

TEST(Scope, MessagesSayWhatIsWrongAndWhatToWrite) {
  const std::string hint = R"(: write all, or {"products": ["prod_..."], "metadata": {"app": "shop"}})";
  EXPECT_EQ(message_of("everything"), "scope is not usable (invalid json at byte 1)" + hint);
  EXPECT_EQ(message_of(""), "scope is not usable (json is empty)" + hint);
  EXPECT_EQ(message_of("5"), "scope is neither all nor an object, 5" + hint);
  EXPECT_EQ(message_of(R"({"product":[]})"), "scope has an unknown member, \"product\"" + hint);
  EXPECT_EQ(message_of(R"({"products":"prod_1"})"), "scope \"products\" is not a list" + hint);
  EXPECT_EQ(message_of(R"({"products":[5]})"), "scope has a product that is not an id, 5" + hint);
  EXPECT_EQ(message_of(R"({"products":[""]})"), "scope has a product that is not an id, \"\"" + hint);
  EXPECT_EQ(message_of(R"({"metadata":[]})"), "scope \"metadata\" is not an object" + hint);
  EXPECT_EQ(message_of(R"({"metadata":{"app":1}})"), "scope has a metadata value that is not text, 1" + hint);
  EXPECT_EQ(message_of("{}"), "scope names neither products nor metadata" + hint);
  EXPECT_EQ(message_of(R"({"products":[],"metadata":{}})"),
            "scope names neither products nor metadata" + hint);
}

TEST(Scope, SubscriptionsByProductOrMetadata) {
  EXPECT_TRUE(subscription_in(kOurProduct));
  EXPECT_FALSE(subscription_in(kForeignProduct));
  EXPECT_TRUE(subscription_in(kOurMetadata));
  EXPECT_FALSE(subscription_in(kForeignMetadata));
  EXPECT_TRUE(subscription_in(R"({"products":["prod_other"],"metadata":{"user_id":"user_1"}})"));
}

TEST(Scope, AnyItemMakesTheSubscriptionOurs) {
  Json object = fixtures::new_subscription();
  Json second = fixtures::item("si_2");
  second["price"] = {{"id", "price_2"}, {"product", {{"id", "prod_other"}}}};
  object["items"]["data"].push_back(second);
  EXPECT_TRUE(subscription_in(kForeignProduct, object));
}

TEST(Scope, PlansOfOldVersionsHaveProductsToo) {
  Json object = fixtures::old_subscription();
  object["items"] = fixtures::list(Json::array({{{"plan", fixtures::plan()}}}));
  EXPECT_TRUE(subscription_in(kOurProduct, object));
  object.erase("items");
  object["plan"] = fixtures::plan();
  EXPECT_TRUE(subscription_in(kOurProduct, object));
}

TEST(Scope, InvoicesOfBothShapes) {
  for (const Json& invoice : {fixtures::old_invoice(), fixtures::new_invoice()}) {
    EXPECT_TRUE(invoice_in(kOurProduct, invoice));
    EXPECT_FALSE(invoice_in(kForeignProduct, invoice));
    EXPECT_TRUE(invoice_in(kOurMetadata, invoice));
    EXPECT_FALSE(invoice_in(kForeignMetadata, invoice));
  }
}

TEST(Scope, WhatWasCutOffMightHaveMatched) {
  Json object = fixtures::new_subscription();
  object["items"]["has_more"] = true;
  EXPECT_TRUE(subscription_in(kForeignProduct, object));
}

TEST(Scope, AnUpdateThatLeavesTheScopeIsStillOurs) {
  const Json previous = {{"metadata", {{"user_id", "user_2"}}}};
  EXPECT_TRUE(
      in_scope(parse_scope(kForeignMetadata),
               fixtures::update("customer.subscription.updated", fixtures::new_subscription(), previous)));
}

TEST(Scope, MetadataAloneSaysWhatTellsNoProduct) {
  const Scope scope = parse_scope(R"({"products": ["prod_1"], "metadata": {"app": "shop"}})");
  EXPECT_TRUE(names_scope(scope, {{"app", "shop"}, {"more", "of it"}}));
  EXPECT_FALSE(names_scope(scope, {{"app", "other"}}));
  EXPECT_FALSE(names_scope(scope, Json()));
  EXPECT_TRUE(names_scope(Scope{}, Json()));
}

TEST(Scope, OtherTypesAreAlwaysOurs) {
  for (const Json& object :
       {Json{{"id", "cus_1"}, {"object", "customer"}}, Json{{"id", "prod_1"}, {"object", "product"}},
        Json{{"id", "pm_1"}, {"object", "payment_method"}}, Json{{"id", "x"}}}) {
    EXPECT_TRUE(in_scope(parse_scope(kForeignProduct), event("t", object))) << object;
  }
  EXPECT_TRUE(in_scope(parse_scope(kForeignProduct), parse_event(R"({"id":"e","type":"t","created":1})")));
}

}  // namespace
}  // namespace billing
