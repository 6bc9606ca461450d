// What prices and products say about credits.
#include <gtest/gtest.h>

#include "core/credit_plan.hpp"
#include "credit_fixtures.hpp"

namespace billing::credits {
namespace {

using fixtures::price_json;

CreditRule rule_of(Json metadata, const Json& of_product = nullptr) {
  const Json product = {{"id", "prod_p"}, {"object", "product"}, {"metadata", of_product}};
  return read_price(price_json("p", std::move(metadata)), of_product.is_null() ? Json() : product).rule;
}

TEST(CreditRule, NothingSaidGrantsNothing) {
  for (const Json& metadata : {Json::object(), Json(nullptr), Json("text"), Json::array()}) {
    const CreditRule rule = rule_of(metadata);
    EXPECT_EQ(rule.credits, std::nullopt);
    EXPECT_FALSE(rule.per_subscription);
    EXPECT_EQ(rule.interval, "");
    EXPECT_EQ(rule.rollover, Rollover());
    EXPECT_EQ(rule.priority, 50);
    EXPECT_EQ(rule.upgrade, CreditRule::Upgrade::prorated_delta);
    EXPECT_EQ(rule.trial_credits, 0);
    EXPECT_FALSE(rule.on_finalized);
    EXPECT_TRUE(rule.problems.empty());
  }
}

TEST(CreditRule, EveryAttributeIsRead) {
  const CreditRule rule = rule_of({{"credits", "500"},
                                   {"credits_per", "subscription"},
                                   {"credit_interval", "week"},
                                   {"credit_rollover", "250"},
                                   {"credit_priority", "10"},
                                   {"upgrade_credits", "full_delta"},
                                   {"trial_credits", "20"},
                                   {"grant_on", "finalized"}});
  EXPECT_EQ(rule.credits, 500);
  EXPECT_TRUE(rule.per_subscription);
  EXPECT_EQ(rule.interval, "week");
  EXPECT_EQ(rule.rollover, (Rollover{Rollover::Kind::limited, 250}));
  EXPECT_EQ(rule.priority, 10);
  EXPECT_EQ(rule.upgrade, CreditRule::Upgrade::full_delta);
  EXPECT_EQ(rule.trial_credits, 20);
  EXPECT_TRUE(rule.on_finalized);
  EXPECT_TRUE(rule.problems.empty());
}

TEST(CreditRule, TheOtherWordsOfEachAttribute) {
  EXPECT_FALSE(rule_of({{"credits_per", "unit"}}).per_subscription);
  EXPECT_EQ(rule_of({{"credit_interval", "day"}}).interval, "day");
  EXPECT_EQ(rule_of({{"credit_interval", "month"}}).interval, "month");
  EXPECT_EQ(rule_of({{"credit_rollover", "none"}}).rollover.kind, Rollover::Kind::none);
  EXPECT_EQ(rule_of({{"credit_rollover", "all"}}).rollover.kind, Rollover::Kind::all);
  EXPECT_EQ(rule_of({{"upgrade_credits", "none"}}).upgrade, CreditRule::Upgrade::none);
  EXPECT_EQ(rule_of({{"upgrade_credits", "prorated_delta"}}).upgrade, CreditRule::Upgrade::prorated_delta);
  EXPECT_FALSE(rule_of({{"grant_on", "paid"}}).on_finalized);
}

TEST(CreditRule, TheProductSaysWhatThePriceDoesNot) {
  const CreditRule rule = rule_of({{"credits", "200"}}, {{"credits", "30"}, {"credit_priority", "7"}});
  EXPECT_EQ(rule.credits, 200);
  EXPECT_EQ(rule.priority, 7);
  EXPECT_EQ(rule_of({{"credits", ""}}, {{"credits", "30"}}).credits, 30);
}

TEST(CreditRule, AnExpandedProductIsReadToo) {
  Json price = price_json("p", Json::object());
  price["product"] = {{"id", "prod_p"}, {"object", "product"}, {"metadata", {{"credits", "30"}}}};
  const Price read = read_price(price, nullptr);
  EXPECT_EQ(read.product_id, "prod_p");
  EXPECT_EQ(read.rule.credits, 30);
}

TEST(CreditRule, ABadValueIsAProblemAndCountsAsAbsent) {
  for (const char* value :
       {"30.5", "-3", "abc", "1000000000001", "1e3", "+5", "0x10", "-0", "99999999999999999999", "3 0"}) {
    const CreditRule rule = rule_of({{"credits", value}});
    EXPECT_EQ(rule.credits, std::nullopt) << value;
    ASSERT_EQ(rule.problems.size(), 1U) << value;
    EXPECT_NE(rule.problems[0].find("credits"), std::string::npos);
    EXPECT_NE(rule.problems[0].find(value), std::string::npos);
  }
  for (const char* key : {"credits_per", "credit_interval", "credit_rollover", "credit_priority",
                          "upgrade_credits", "trial_credits", "grant_on"}) {
    const CreditRule rule = rule_of({{key, "sometimes"}});
    ASSERT_EQ(rule.problems.size(), 1U) << key;
    EXPECT_NE(rule.problems[0].find(key), std::string::npos);
  }
  EXPECT_EQ(rule_of({{"credit_priority", "1001"}}).priority, 50);
  EXPECT_EQ(rule_of({{"credit_rollover", "1000000000001"}}).rollover, Rollover());
}

TEST(CreditRule, ABadValueOnThePriceHidesTheProducts) {
  const CreditRule rule = rule_of({{"credits", "3OO"}}, {{"credits", "30"}});
  EXPECT_EQ(rule.credits, std::nullopt);
  EXPECT_EQ(rule.problems.size(), 1U);
}

TEST(CreditRule, TheLargestAndSmallestValues) {
  EXPECT_EQ(rule_of({{"credits", "1000000000000"}}).credits, 1'000'000'000'000);
  EXPECT_EQ(rule_of({{"credits", "0"}}).credits, 0);
  EXPECT_EQ(rule_of({{"credits", " 030 "}}).credits, 30);
  EXPECT_EQ(rule_of({{"credits", 30}}).credits, 30);
}

TEST(CreditPrice, TermsOfPriceAndPlan) {
  Json price = price_json("p", {{"credits", "5"}}, "year", 9900);
  price["recurring"]["interval_count"] = 2;
  Json plan = {{"id", "p"},          {"object", "plan"},    {"amount", 9900},
               {"interval", "year"}, {"interval_count", 2}, {"metadata", {{"credits", "5"}}},
               {"product", "prod_p"}};
  for (const Json& object : {price, plan}) {
    const Price read = read_price(object, nullptr);
    EXPECT_EQ(read.id, "p");
    EXPECT_EQ(read.product_id, "prod_p");
    EXPECT_EQ(read.interval, "year");
    EXPECT_EQ(read.interval_count, 2);
    EXPECT_EQ(read.unit_amount, 9900);
    EXPECT_FALSE(read.metered);
    EXPECT_EQ(read.rule.credits, 5);
  }
  price["recurring"]["usage_type"] = plan["usage_type"] = "metered";
  EXPECT_TRUE(read_price(price, nullptr).metered);
  EXPECT_TRUE(read_price(plan, nullptr).metered);
}

TEST(CreditPrice, WhatIsMissing) {
  const Price read = read_price({{"id", "p"}, {"recurring", nullptr}, {"unit_amount", nullptr}}, nullptr);
  EXPECT_EQ(read.interval, "");
  EXPECT_EQ(read.interval_count, 1);
  EXPECT_EQ(read.unit_amount, std::nullopt);
  EXPECT_EQ(read_price(nullptr, nullptr).id, "");
  EXPECT_EQ(read_price({{"recurring", {{"interval_count", -3}}}}, nullptr).interval_count, 1);
}

TEST(EmbeddedPrices, AreFoundOnce) {
  Json subscription = billing::fixtures::new_subscription();
  subscription["items"]["data"].push_back(subscription["items"]["data"][0]);
  ASSERT_EQ(embedded_prices("subscription", subscription).size(), 1U);
  EXPECT_EQ(embedded_prices("subscription", subscription)[0]["id"], "price_pro");

  Json oldest = billing::fixtures::subscription_base();
  oldest["plan"] = billing::fixtures::plan();
  ASSERT_EQ(embedded_prices("subscription", oldest).size(), 1U);
  EXPECT_EQ(embedded_prices("subscription", oldest)[0]["id"], "plan_pro");

  EXPECT_EQ(embedded_prices("invoice", billing::fixtures::old_invoice()).size(), 1U);
  EXPECT_TRUE(embedded_prices("invoice", billing::fixtures::new_invoice()).empty());
  EXPECT_TRUE(embedded_prices("customer", subscription).empty());
}

TEST(CreditRule, APlanSaysWhatNeitherThePriceNorItsProductDoes) {
  const Json plan = {{"credits", "300"}, {"trial_credits", 20}, {"credit_priority", "7"}};
  const auto rule = [&](Json price, Json product) {
    return read_price(price_json("p", std::move(price)), Json{{"metadata", std::move(product)}}, plan).rule;
  };
  EXPECT_EQ(rule(Json::object(), Json::object()).credits, 300);
  EXPECT_EQ(rule(Json::object(), Json::object()).trial_credits, 20);
  EXPECT_EQ(rule(Json::object(), {{"credits", "200"}}).credits, 200);
  EXPECT_EQ(rule({{"credits", "0"}}, {{"credits", "200"}}).credits, 0);
  EXPECT_EQ(rule({{"credits", "100"}}, Json::object()).priority, 7);
  // What the price says and cannot be used hides the plan's too.
  EXPECT_EQ(rule({{"credits", "many"}}, Json::object()).credits, std::nullopt);
}

TEST(CreditRule, APlansAttributesAreChecked) {
  EXPECT_EQ(
      problem_of(parse_json(R"({"credits": "300", "credits_per": "subscription", "credit_rollover": 50})")),
      "");
  EXPECT_EQ(problem_of(Json::object()), "");
  EXPECT_EQ(problem_of(parse_json(R"({"credit": "300"})")), "unknown attribute credit");
  EXPECT_EQ(problem_of(parse_json(R"({"credits": "many"})")),
            "credits is \"many\", expected a whole number up to 1000000000000");
  EXPECT_EQ(problem_of(parse_json(R"({"grant_on": true})")),
            "grant_on is \"true\", expected one of paid, finalized");
}

TEST(PricesOfAnInvoice, AreThoseOfItsSubscriptionLines) {
  EXPECT_EQ(prices_of(billing::fixtures::old_invoice()), std::vector<std::string>{"price_pro"});
  EXPECT_EQ(prices_of(billing::fixtures::new_invoice()), std::vector<std::string>{"price_pro"});
  Json invoice = billing::fixtures::old_invoice();
  invoice["lines"]["data"][0]["type"] = "invoiceitem";
  EXPECT_TRUE(prices_of(invoice).empty());
  EXPECT_TRUE(prices_of(nullptr).empty());
}

}  // namespace
}  // namespace billing::credits
