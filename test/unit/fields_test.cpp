// Every accessor on the shape from before 2025-03-31.basil, on the one since, and on neither.
#include "core/fields.hpp"

#include <gtest/gtest.h>

#include "fixtures.hpp"

namespace billing {
namespace {

using fixtures::kDay;
using fixtures::kEnd;
using fixtures::kStart;
using fixtures::list;
using fixtures::new_invoice;
using fixtures::new_line;
using fixtures::new_subscription;
using fixtures::old_invoice;
using fixtures::old_line;
using fixtures::old_subscription;

Json item_with_period(Seconds start, Seconds end) {
  Json item = fixtures::item();
  item["current_period_start"] = start;
  item["current_period_end"] = end;
  return item;
}

// Two items, of which the second is billed by the year.
Json mixed_subscription() {
  Json object = fixtures::subscription_base();
  object["items"] = list(Json::array(
      {item_with_period(kStart, kEnd), item_with_period(kStart - 10 * kDay, kStart + 355 * kDay)}));
  return object;
}

TEST(Fields, SubscriptionPeriod) {
  for (const Json& object : {old_subscription(), new_subscription()}) {
    const fields::Period period = fields::subscription_period(object);
    EXPECT_EQ(period.start, kStart);
    EXPECT_EQ(period.end, kEnd);
    EXPECT_EQ(fields::next_renewal(object), kEnd);
  }
}

TEST(Fields, SeveralItemPeriodsAreEntitledLongestAndRenewSoonest) {
  const fields::Period period = fields::subscription_period(mixed_subscription());
  EXPECT_EQ(period.start, kStart);
  EXPECT_EQ(period.end, kStart + 355 * kDay);
  EXPECT_EQ(fields::next_renewal(mixed_subscription()), kEnd);
}

// As the same subscription before basil, which had one period: that of the item that was there first.
TEST(Fields, AnItemThatWasAddedInTheMiddleBeginsNoPeriod) {
  Json object = fixtures::subscription_base();
  object["items"] =
      list(Json::array({item_with_period(kStart, kEnd), item_with_period(kStart + 3 * kDay, kEnd)}));
  EXPECT_EQ(fields::subscription_period(object).start, kStart);
  // One that ends with them and is of another interval has a period of its own.
  object["items"]["data"].push_back(item_with_period(kStart - 300 * kDay, kEnd));
  object["items"]["data"][2]["price"]["recurring"]["interval"] = "year";
  EXPECT_EQ(fields::subscription_period(object).start, kStart);
}

TEST(Fields, NoPeriodAnywhere) {
  for (const Json& object : {fixtures::subscription_base(), Json(), Json{{"items", "none"}}}) {
    EXPECT_EQ(fields::subscription_period(object).start, std::nullopt);
    EXPECT_EQ(fields::subscription_period(object).end, std::nullopt);
    EXPECT_EQ(fields::next_renewal(object), std::nullopt);
  }
}

TEST(Fields, ItemPeriod) {
  const fields::Period own = fields::item_period(item_with_period(kStart + 1, kEnd + 1), old_subscription());
  EXPECT_EQ(own.start, kStart + 1);
  EXPECT_EQ(own.end, kEnd + 1);
  const fields::Period inherited = fields::item_period(fixtures::item(), old_subscription());
  EXPECT_EQ(inherited.start, kStart);
  EXPECT_EQ(inherited.end, kEnd);
}

TEST(Fields, ItemPrice) {
  EXPECT_EQ(fields::item_price(fixtures::item()), fixtures::price());
  EXPECT_EQ(fields::item_price({{"plan", fixtures::plan()}}), fixtures::plan());
  EXPECT_EQ(fields::item_price({{"price", nullptr}, {"plan", fixtures::plan()}}), fixtures::plan());
  EXPECT_TRUE(fields::item_price({{"price", "price_1"}}).is_null());
  EXPECT_TRUE(fields::item_price(Json::object()).is_null());
}

TEST(Fields, PriceProduct) {
  EXPECT_EQ(fields::price_product(fixtures::price()), "prod_pro");
  EXPECT_EQ(fields::price_product({{"product", {{"id", "prod_2"}, {"object", "product"}}}}), "prod_2");
  EXPECT_EQ(fields::price_product(nullptr), "");
}

TEST(Fields, InvoiceSubscription) {
  EXPECT_EQ(fields::invoice_subscription(old_invoice()), "sub_1");
  EXPECT_EQ(fields::invoice_subscription(new_invoice()), "sub_1");
  Json expanded = new_invoice();
  expanded["parent"]["subscription_details"]["subscription"] = {{"id", "sub_2"}};
  EXPECT_EQ(fields::invoice_subscription(expanded), "sub_2");
  EXPECT_EQ(fields::invoice_subscription(fixtures::invoice_base()), "");
  EXPECT_EQ(fields::invoice_subscription({{"subscription", nullptr}, {"parent", nullptr}}), "");
}

TEST(Fields, InvoiceSubscriptionMetadata) {
  EXPECT_EQ(fields::invoice_subscription_metadata(old_invoice()), Json({{"user_id", "user_1"}}));
  EXPECT_EQ(fields::invoice_subscription_metadata(new_invoice()), Json({{"user_id", "user_1"}}));
  EXPECT_TRUE(fields::invoice_subscription_metadata(fixtures::invoice_base()).is_null());
}

TEST(Fields, InvoiceIsPaid) {
  EXPECT_TRUE(fields::invoice_is_paid({{"paid", true}, {"status", "paid"}}));
  EXPECT_TRUE(fields::invoice_is_paid({{"paid", true}}));
  EXPECT_TRUE(fields::invoice_is_paid({{"status", "paid"}}));
  EXPECT_FALSE(fields::invoice_is_paid({{"paid", false}, {"status", "open"}}));
  EXPECT_FALSE(fields::invoice_is_paid({{"paid", "true"}, {"status", true}}));
  EXPECT_FALSE(fields::invoice_is_paid(nullptr));
}

TEST(Fields, InvoicePayment) {
  EXPECT_EQ(fields::invoice_charge(old_invoice()), "ch_1");
  EXPECT_EQ(fields::invoice_payment_intent(old_invoice()), "pi_1");
  EXPECT_EQ(fields::invoice_charge(new_invoice()), "");
  EXPECT_EQ(fields::invoice_payment_intent(new_invoice()), "pi_1");
  EXPECT_EQ(fields::invoice_charge(fixtures::invoice_base()), "");
  EXPECT_EQ(fields::invoice_payment_intent(fixtures::invoice_base()), "");
  Json by_charge = new_invoice();
  by_charge["payments"]["data"][0]["payment"] = {{"type", "charge"}, {"charge", "ch_2"}};
  EXPECT_EQ(fields::invoice_charge(by_charge), "ch_2");
  EXPECT_EQ(fields::invoice_payment_intent(by_charge), "");
}

TEST(Fields, OfSeveralInvoicePaymentsThePaidOneCounts) {
  const auto payment = [](const char* id, const char* status, bool is_default) {
    return Json{{"payment", {{"payment_intent", id}}}, {"status", status}, {"is_default", is_default}};
  };
  Json invoice = new_invoice();
  invoice["payments"] =
      list(Json::array({payment("pi_1", "canceled", false), payment("pi_2", "open", true)}));
  EXPECT_EQ(fields::invoice_payment_intent(invoice), "pi_2");
  invoice["payments"]["data"].push_back(payment("pi_3", "paid", false));
  EXPECT_EQ(fields::invoice_payment_intent(invoice), "pi_3");
}

Json invoice_with(std::initializer_list<Json> lines) {
  Json invoice = fixtures::invoice_base();
  invoice["lines"] = list(Json(lines));
  return invoice;
}

TEST(Fields, InvoicePaidUntilIsTheLatestEndOfItsSubscriptionLines) {
  EXPECT_EQ(fields::invoice_paid_until(old_invoice()), kEnd);
  EXPECT_EQ(fields::invoice_paid_until(new_invoice()), kEnd);
  Json later = new_line();
  later["period"]["end"] = kEnd + kDay;
  EXPECT_EQ(fields::invoice_paid_until(invoice_with({later, new_line()})), kEnd + kDay);
  EXPECT_EQ(fields::invoice_paid_until(fixtures::invoice_base()), std::nullopt);
}

TEST(Fields, ProrationsAndInvoiceItemsPayForNoPeriod) {
  Json old_proration = old_line();
  old_proration["proration"] = true;
  Json new_proration = new_line();
  new_proration["parent"]["subscription_item_details"]["proration"] = true;
  Json old_extra = old_line();
  old_extra["type"] = "invoiceitem";
  Json new_extra = new_line();
  new_extra["parent"] = {{"type", "invoice_item_details"},
                         {"invoice_item_details", {{"proration", false}, {"subscription", "sub_1"}}}};
  for (Json line : {old_proration, new_proration, old_extra, new_extra}) {
    line["period"]["end"] = kEnd + kDay;
    EXPECT_EQ(fields::invoice_paid_until(invoice_with({line})), std::nullopt) << line;
    EXPECT_EQ(fields::invoice_paid_until(invoice_with({line, old_line()})), kEnd) << line;
  }
}

TEST(Fields, LinesThatSayNothingOfTheirTypeGoByTheirSubscription) {
  Json line = old_line();
  line.erase("type");
  EXPECT_EQ(fields::invoice_paid_until(invoice_with({line})), kEnd);
  line.erase("subscription");
  EXPECT_EQ(fields::invoice_paid_until(invoice_with({line})), std::nullopt);
}

TEST(Fields, LinePrice) {
  EXPECT_EQ(fields::line_price(new_line()), "price_pro");
  EXPECT_EQ(fields::line_price(old_line()), "price_pro");
  EXPECT_EQ(fields::line_price({{"price", nullptr}, {"plan", fixtures::plan()}}), "plan_pro");
  EXPECT_EQ(fields::line_price({{"pricing", nullptr}}), "");
}

TEST(Fields, LineSubscription) {
  EXPECT_EQ(fields::line_subscription(old_line()), "sub_1");
  EXPECT_EQ(fields::line_subscription(new_line()), "sub_1");
  EXPECT_EQ(fields::line_subscription({{"parent", {{"invoice_item_details", {{"subscription", "sub_2"}}}}}}),
            "sub_2");
  EXPECT_EQ(fields::line_subscription({{"subscription", nullptr}}), "");
}

TEST(Fields, LineIsProration) {
  EXPECT_FALSE(fields::line_is_proration(old_line()));
  EXPECT_FALSE(fields::line_is_proration(new_line()));
  EXPECT_TRUE(fields::line_is_proration({{"proration", true}}));
  EXPECT_TRUE(fields::line_is_proration({{"parent", {{"invoice_item_details", {{"proration", true}}}}}}));
  EXPECT_TRUE(
      fields::line_is_proration({{"parent", {{"subscription_item_details", {{"proration", true}}}}}}));
}

TEST(Fields, PaymentInvoice) {
  EXPECT_EQ(fields::payment_invoice({{"invoice", "in_1"}}), "in_1");
  EXPECT_EQ(fields::payment_invoice({{"invoice", {{"id", "in_2"}}}}), "in_2");
  EXPECT_EQ(fields::payment_invoice({{"invoice", nullptr}}), "");
  EXPECT_EQ(fields::payment_invoice({{"id", "pi_1"}}), "");
}

TEST(Fields, RefundAndInvoicePayment) {
  EXPECT_EQ(fields::refund_charge({{"charge", "ch_1"}}), "ch_1");
  EXPECT_EQ(fields::refund_charge({{"charge", {{"id", "ch_2"}}}}), "ch_2");
  EXPECT_EQ(fields::refund_charge({{"charge", nullptr}}), "");
  const Json payment = new_invoice()["payments"]["data"][0];
  EXPECT_EQ(fields::invoice_payment_invoice(payment), "in_1");
  EXPECT_EQ(fields::invoice_payment_intent_of(payment), "pi_1");
  EXPECT_EQ(fields::invoice_payment_intent_of({{"payment", {{"charge", "ch_1"}}}}), "ch_1");
  EXPECT_EQ(fields::invoice_payment_intent_of({{"payment", nullptr}}), "");
}

TEST(Fields, DiscountCoupon) {
  EXPECT_EQ(fields::discount_coupon({{"coupon", {{"id", "HALF"}}}}), "HALF");
  EXPECT_EQ(fields::discount_coupon({{"source", {{"type", "coupon"}, {"coupon", "HALF"}}}}), "HALF");
  EXPECT_EQ(fields::discount_coupon({{"source", {{"coupon", {{"id", "HALF"}}}}}}), "HALF");
  EXPECT_EQ(fields::discount_coupon({{"source", nullptr}}), "");
}

TEST(Fields, ParentId) {
  EXPECT_EQ(fields::parent_id("invoice", old_invoice()), "sub_1");
  EXPECT_EQ(fields::parent_id("invoice", new_invoice()), "sub_1");
  EXPECT_EQ(fields::parent_id("charge", {{"invoice", "in_1"}, {"payment_intent", "pi_1"}}), "in_1");
  EXPECT_EQ(fields::parent_id("charge", {{"payment_intent", "pi_1"}}), "pi_1");
  EXPECT_EQ(fields::parent_id("payment_intent", {{"invoice", "in_1"}}), "in_1");
  EXPECT_EQ(fields::parent_id("payment_intent", {{"id", "pi_1"}}), "");
  EXPECT_EQ(fields::parent_id("refund", {{"charge", "ch_1"}, {"payment_intent", "pi_1"}}), "pi_1");
  EXPECT_EQ(fields::parent_id("refund", {{"charge", "ch_1"}, {"payment_intent", nullptr}}), "ch_1");
  EXPECT_EQ(fields::parent_id("refund", {{"charge", nullptr}, {"payment_intent", "pi_1"}}), "pi_1");
  EXPECT_EQ(fields::parent_id("dispute", {{"charge", "ch_1"}}), "ch_1");
  EXPECT_EQ(fields::parent_id("invoice_payment", {{"invoice", "in_1"}}), "in_1");
  EXPECT_EQ(fields::parent_id("subscription_schedule", fixtures::schedule()), "sub_1");
  EXPECT_EQ(fields::parent_id("subscription_schedule",
                              {{"subscription", nullptr}, {"released_subscription", "sub_2"}}),
            "sub_2");
  EXPECT_EQ(fields::parent_id("checkout.session", fixtures::checkout_session()), "sub_1");
  EXPECT_EQ(fields::parent_id("checkout.session", {{"payment_intent", "pi_1"}}), "pi_1");
  EXPECT_EQ(fields::parent_id("customer", {{"id", "cus_1"}}), "");
  EXPECT_EQ(fields::parent_id("", nullptr), "");
}

}  // namespace
}  // namespace billing
