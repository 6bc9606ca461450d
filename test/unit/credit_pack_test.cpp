// Grants that no invoice makes: trials and packs.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "core/credit_plan.hpp"
#include "credit_fixtures.hpp"
#include "generators.hpp"

namespace billing::credits {
namespace {

using namespace fixtures;
using billing::fixtures::kEnd;
using billing::fixtures::kStart;
using billing::fixtures::trialing;

Catalogue trial_prices() {
  Json metered = price_json("metered", {{"trial_credits", "1000"}});
  metered["recurring"]["usage_type"] = "metered";
  return catalogue({price_json("price_pro", {{"credits", "300"}, {"trial_credits", "20"}}), metered,
                    price_json("none", {{"credits", "300"}}),
                    price_json("once", {{"trial_credits", "5"}, {"credits_per", "subscription"}})});
}

SubscriptionItem item(const std::string& id, const std::string& price, std::int64_t quantity) {
  SubscriptionItem item;
  item.id = id;
  item.price_id = price;
  item.quantity = quantity;
  return item;
}

TEST(TrialGrant, ComesOnceWithTheTrial) {
  const auto grant = plan_trial(trialing(), trial_prices());
  ASSERT_TRUE(grant);
  EXPECT_EQ(grant->key, "trial");
  EXPECT_EQ(grant->amount, 40);
  EXPECT_EQ(grant->full, 40);
  EXPECT_EQ(grant->effective_at, 0);
  EXPECT_EQ(grant->expires_at, kEnd);
  EXPECT_EQ(grant->cycle_start, kStart);
  EXPECT_EQ(grant->series, "sub_1:si_1");
  EXPECT_EQ(grant->subscription_id, "sub_1");
  EXPECT_TRUE(grant->requires_subscription);
  EXPECT_EQ(grant->category, "promotional");
  EXPECT_EQ(grant->source, "trial");
  EXPECT_EQ(grant->invoice_id, "");
}

TEST(TrialGrant, SumsItsItems) {
  Subscription one = trialing();
  one.items = {item("si_0", "none", 9), item("si_1", "price_pro", 2), item("si_2", "once", 3),
               item("si_3", "metered", 1), item("si_4", "unknown", 1)};
  const auto grant = plan_trial(one, trial_prices());
  ASSERT_TRUE(grant);
  EXPECT_EQ(grant->amount, 45);
  EXPECT_EQ(grant->series, "sub_1:si_1");
}

TEST(TrialGrant, NothingWithoutATrialOrCredits) {
  Subscription one = trialing();
  one.trial_start = std::nullopt;
  EXPECT_FALSE(plan_trial(one, trial_prices()));
  one = trialing();
  one.trial_end = std::nullopt;
  EXPECT_FALSE(plan_trial(one, trial_prices()));
  one.trial_end = one.trial_start;
  EXPECT_FALSE(plan_trial(one, trial_prices()));
  one = trialing();
  one.items[0].quantity = 0;
  EXPECT_FALSE(plan_trial(one, trial_prices()));
  one.items.clear();
  EXPECT_FALSE(plan_trial(one, trial_prices()));
  EXPECT_FALSE(plan_trial(trialing(), {}));
}

Json session(Json metadata) {
  Json session = billing::fixtures::checkout_session();
  session["mode"] = "payment";
  session["payment_status"] = "paid";
  session["subscription"] = nullptr;
  session["metadata"] = std::move(metadata);
  return session;
}

TEST(Pack, OfTheSessionsMetadata) {
  const auto grant = plan_checkout(session({{"credits", "500"}}), {});
  ASSERT_TRUE(grant);
  EXPECT_EQ(grant->key, "cs_1:pack");
  EXPECT_EQ(grant->amount, 500);
  EXPECT_EQ(grant->expires_at, std::nullopt);
  EXPECT_FALSE(grant->requires_subscription);
  EXPECT_EQ(grant->series, "");
  EXPECT_EQ(grant->subscription_id, "");
  EXPECT_EQ(grant->source, "checkout");
  EXPECT_EQ(grant->category, "paid");
}

TEST(Pack, OfItsExpandedLines) {
  Json object = session(Json::object());
  object["line_items"] =
      list(Json::array({{{"price", {{"id", "pro"}}}, {"quantity", 2}, {"description", "Pack"}},
                        {{"price", {{"id", "basic"}}}, {"quantity", 1}},
                        {{"price", {{"id", "unknown"}}}, {"quantity", 1}}}));
  const auto grant = plan_checkout(object, plans());
  ASSERT_TRUE(grant);
  EXPECT_EQ(grant->amount, 700);
  EXPECT_EQ(grant->price_id, "pro");
  EXPECT_EQ(grant->description, "Pack");
  EXPECT_EQ(prices_of_checkout(object), (std::vector<std::string>{"pro", "basic", "unknown"}));
}

TEST(Pack, OfThePriceThatTheMetadataName) {
  EXPECT_EQ(plan_checkout(session({{"price_id", "pro"}}), plans())->amount, 300);
  EXPECT_EQ(plan_checkout(session({{"price_id", "pro"}, {"quantity", "3"}}), plans())->amount, 900);
  EXPECT_FALSE(plan_checkout(session({{"price_id", "pro"}, {"quantity", "some"}}), plans()));
  EXPECT_FALSE(plan_checkout(session({{"price_id", "none"}}), plans()));
  EXPECT_EQ(prices_of_checkout(session({{"price_id", "pro"}})), std::vector<std::string>{"pro"});
}

TEST(Pack, TheMetadatasCreditsComeFirst) {
  EXPECT_EQ(plan_checkout(session({{"credits", "5"}, {"price_id", "pro"}}), plans())->amount, 5);
  EXPECT_TRUE(prices_of_checkout(session({{"credits", "5"}, {"price_id", "pro"}})).empty());
  for (const char* bad : {"0", "-5", "5.5", "many", ""}) {
    EXPECT_EQ(plan_checkout(session({{"credits", bad}, {"price_id", "pro"}}), plans())->amount, 300) << bad;
    EXPECT_FALSE(plan_checkout(session({{"credits", bad}}), plans())) << bad;
  }
}

TEST(Pack, OnlyWhenItIsPaid) {
  Json object = session({{"credits", "500"}});
  object["payment_status"] = "no_payment_required";
  EXPECT_TRUE(plan_checkout(object, {}));
  for (const char* status : {"unpaid", ""}) {
    object["payment_status"] = status;
    EXPECT_FALSE(plan_checkout(object, {})) << status;
    EXPECT_TRUE(prices_of_checkout(object).empty());
  }
}

TEST(Pack, OnlyInPaymentMode) {
  for (const char* mode : {"subscription", "setup", ""}) {
    Json object = session({{"credits", "500"}});
    object["mode"] = mode;
    EXPECT_FALSE(plan_checkout(object, {})) << mode;
  }
  EXPECT_FALSE(plan_checkout(nullptr, {}));
}

TEST(Pack, HasAnEnd) {
  EXPECT_EQ(plan_checkout(session({{"credits", "999999999999999999"}}), {})->amount, 1'000'000'000'000'000);
}

// Whatever Stripe sends one day, or somebody pretends to be Stripe.

RC_GTEST_PROP(CreditInput, AnyJsonIsRead, ()) {
  const Json a = *generators::json();
  const Json b = *generators::json();
  Catalogue prices = plans();
  const Price price = read_price(a, b);
  prices[price.id] = price;
  plan_invoices({&a, &b}, prices);
  plan_checkout(a, prices);
  plan_trial(read_subscription(a), prices);
  prices_of(a);
  prices_of_checkout(a);
  embedded_prices("invoice", a);
  granted_at(a);
  const Reversal reversal = read_reversal(a, {{a, 0, {b}, {0}, {a, b}}, {b, 0, {a, b}, {}, {}}}, {a, b});
  reversal_target(reversal, 100, DebtPolicy::always);
}

RC_GTEST_PROP(CreditInput, DamagedObjectsAreRead, ()) {
  const Json first = *generators::damaged(create({period("il_1", "pro_drip", month(0), month(12), 3)}));
  const Json second = *generators::damaged(
      update("in_2", day(9),
             {unused("il_2", "pro_drip", day(9), month(12)), remaining("il_3", "max_drip", day(9), month(12)),
              period("il_4", "pro_year", day(9), month(12))}));
  Catalogue prices = plans();
  const Price price = read_price(*generators::damaged(price_json("pro", {{"credits", "300"}})), nullptr);
  prices[price.id] = price;
  for (const PlannedGrant& grant : plan_invoices({&first, &second}, prices)) {
    RC_ASSERT(grant.amount >= 0);
    RC_ASSERT(grant.amount <= grant.full || grant.amount == 0);
  }
  plan_checkout(*generators::damaged(session({{"credits", "5"}, {"price_id", "pro"}})), prices);
}

}  // namespace
}  // namespace billing::credits
