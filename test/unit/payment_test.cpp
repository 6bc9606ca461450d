// One payment, from all that Stripe's objects say of it.
#include "core/payment.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "fixtures.hpp"

namespace billing {
namespace {

using credits::ChargeFacts;
using Items = std::vector<std::string>;

Json intent(const char* status, const Json& more = Json::object()) {
  Json made = {{"id", "pi_1"},
               {"object", "payment_intent"},
               {"status", status},
               {"amount", 4900},
               {"currency", "eur"},
               {"created", 100},
               {"metadata", {{"item_id", "course"}}}};
  made.update(more);
  return made;
}

Json charge(const char* status, const Json& more = Json::object()) {
  Json made = {{"id", "ch_1"},      {"object", "charge"}, {"status", status}, {"amount", 4900},
               {"currency", "eur"}, {"created", 110},     {"captured", true}, {"payment_intent", "pi_1"}};
  made.update(more);
  return made;
}

Json session(const char* status, const char* paid, const Json& more = Json::object()) {
  Json made = {
      {"id", "cs_1"},           {"object", "checkout.session"}, {"mode", "payment"}, {"status", status},
      {"payment_status", paid}, {"amount_total", 4900},         {"currency", "usd"}, {"created", 90}};
  made.update(more);
  return made;
}

Json dispute(const char* status, Seconds created = 200, const char* id = "dp_1") {
  return {{"id", id},           {"object", "dispute"}, {"status", status}, {"amount", 4900},
          {"created", created}, {"charge", "ch_1"},    {"currency", "eur"}};
}

Json refund(const char* status, credits::Amount amount, Seconds created = 300) {
  return {{"id", "re_" + std::to_string(created)},
          {"object", "refund"},
          {"status", status},
          {"amount", amount},
          {"created", created},
          {"charge", "ch_1"},
          {"currency", "eur"}};
}

PaymentSources sources(Json intent_object, std::vector<ChargeFacts> charges = {},
                       std::vector<CheckoutFacts> checkouts = {}) {
  PaymentSources made;
  made.intent = std::move(intent_object);
  made.intent_told = 115;
  made.charges = std::move(charges);
  made.checkouts = std::move(checkouts);
  return made;
}

ChargeFacts told(Json object, std::vector<Json> refunds = {}, std::vector<Json> disputes = {}) {
  ChargeFacts facts;
  facts.charge = std::move(object);
  facts.charge_created = 400;
  facts.refund_created.assign(refunds.size(), 300);
  facts.refunds = std::move(refunds);
  facts.disputes = std::move(disputes);
  return facts;
}

std::string status(const PaymentSources& of) { return read_payment(of).status; }

TEST(PaymentStatus, WhatIsNotPaidYet) {
  EXPECT_EQ(status(sources(nullptr)), "pending");
  for (const char* waiting : {"requires_payment_method", "requires_confirmation", "requires_action"})
    EXPECT_EQ(status(sources(intent(waiting))), "pending") << waiting;
  EXPECT_EQ(status(sources(intent("processing"))), "processing");
  EXPECT_EQ(status(sources(intent("requires_capture"))), "authorized");
  EXPECT_EQ(status(sources(nullptr, {told(charge("succeeded", {{"captured", false}}))})), "authorized");
  EXPECT_EQ(status(sources(nullptr, {told(charge("pending"))})), "processing");
  EXPECT_EQ(status(sources(nullptr, {}, {{session("complete", "unpaid")}})), "processing");
  EXPECT_EQ(status(sources(nullptr, {}, {{session("open", "unpaid")}})), "pending");
}

TEST(PaymentStatus, WhatIsNotPaidAtAll) {
  const Json error = {{"last_payment_error", {{"code", "card_declined"}}}};
  EXPECT_EQ(status(sources(intent("requires_payment_method", error))), "failed");
  EXPECT_EQ(status(sources(nullptr, {told(charge("failed"))})), "failed");
  EXPECT_EQ(status(sources(intent("processing"), {}, {{session("complete", "unpaid"), true}})), "failed");
  EXPECT_EQ(status(sources(intent("canceled"))), "canceled");
  EXPECT_EQ(status(sources(nullptr, {}, {{session("expired", "unpaid")}})), "canceled");
  // An authorization that was let go.
  EXPECT_EQ(
      status(sources(
          nullptr,
          {told(charge("succeeded", {{"captured", false}, {"refunded", true}, {"amount_refunded", 4900}}))})),
      "canceled");
}

TEST(PaymentStatus, WhateverSaysThatItIsPaidIsEnough) {
  EXPECT_EQ(status(sources(intent("succeeded"))), "completed");
  EXPECT_EQ(status(sources(nullptr, {told(charge("succeeded"))})), "completed");
  EXPECT_EQ(status(sources(nullptr, {}, {{session("complete", "paid")}})), "completed");
  EXPECT_EQ(status(sources(nullptr, {}, {{session("complete", "no_payment_required")}})), "completed");
  EXPECT_EQ(status(sources(intent("processing"), {told(charge("succeeded"))})), "completed");
  EXPECT_EQ(status(sources(nullptr, {told(charge("failed", {{"id", "ch_0"}, {"created", 120}})),
                                     told(charge("succeeded"))})),
            "completed");
}

TEST(PaymentStatus, WhatWentBack) {
  EXPECT_EQ(status(sources(intent("succeeded"), {told(charge("succeeded", {{"amount_refunded", 900}}))})),
            "partially_refunded");
  EXPECT_EQ(status(sources(nullptr, {told(charge("succeeded", {{"amount_refunded", 4900}}))})), "refunded");
  EXPECT_EQ(status(sources(intent("succeeded"), {told(nullptr, {refund("succeeded", 4900)})})), "refunded");
  EXPECT_EQ(status(sources(intent("succeeded"), {told(nullptr, {refund("failed", 4900)})})), "completed");
}

TEST(PaymentStatus, WhatIsDisputed) {
  const auto after = [](const char* word) {
    return status(sources(nullptr, {told(charge("succeeded"), {}, {dispute(word)})}));
  };
  EXPECT_EQ(after("needs_response"), "disputed");
  EXPECT_EQ(after("under_review"), "disputed");
  EXPECT_EQ(after("lost"), "charged_back");
  for (const char* harmless : {"won", "warning_needs_response", "warning_closed", "prevented"})
    EXPECT_EQ(after(harmless), "completed") << harmless;
  EXPECT_EQ(status(sources(nullptr, {told(nullptr, {}, {dispute("needs_response")})})), "disputed");
}

TEST(Payment, ItsParts) {
  const Payment payment = read_payment(sources(
      intent("succeeded", {{"description", "SQL"}, {"metadata", {{"item_id", "a"}, {"seller_id", "zoe"}}}}),
      {told(charge("succeeded", {{"amount_captured", 4000},
                                 {"invoice", "in_1"},
                                 {"billing_details", {{"email", "b@example.com"}}}}),
            {refund("succeeded", 500, 310), refund("succeeded", 500, 320)}, {dispute("won", 210)})},
      {{session("complete", "paid",
                {{"customer_details", {{"email", "a@example.com"}}},
                 {"metadata", {{"item_ids", " b ,a,, c"}}}})}}));
  EXPECT_EQ(payment.charge_id, "ch_1");
  EXPECT_EQ(payment.session_id, "cs_1");
  EXPECT_EQ(payment.invoice_id, "in_1");
  EXPECT_EQ(payment.amount, 4000);
  EXPECT_EQ(payment.currency, "eur");
  EXPECT_EQ(payment.amount_refunded, 1000);
  EXPECT_EQ(payment.refunded_at, 320);
  EXPECT_EQ(payment.dispute_status, "won");
  EXPECT_EQ(payment.customer_email, "a@example.com");
  EXPECT_EQ(payment.seller_id, "zoe");
  EXPECT_EQ(payment.description, "SQL");
  EXPECT_EQ(payment.created, 100);
  EXPECT_EQ(payment.paid_at, 110);
  EXPECT_EQ(payment.items, (Items{"a", "b", "c"}));
}

TEST(Payment, OnlyWhatWentBackIsTold) {
  const Payment refunded = read_payment(sources(nullptr, {told(nullptr, {refund("succeeded", 4900)})}));
  EXPECT_EQ(refunded.status, "refunded");
  EXPECT_EQ(refunded.amount, 4900);
  EXPECT_EQ(refunded.charge_id, "ch_1");
  const Payment disputed = read_payment(sources(nullptr, {told(nullptr, {}, {dispute("lost")})}));
  EXPECT_EQ(disputed.status, "charged_back");
  EXPECT_EQ(disputed.amount, 4900);
  EXPECT_EQ(disputed.currency, "eur");
}

TEST(Payment, OnlyARefundOfTheChargeIsTold) {
  const Payment payment = read_payment(
      sources(nullptr, {told(charge("succeeded", {{"amount_refunded", 4900}, {"refunded", true}}))}));
  EXPECT_EQ(payment.refunded_at, 400);
  EXPECT_EQ(payment.paid_at, 110);
}

TEST(Payment, OldVersionsHaveChargesAndRefundsInside) {
  const Json inside = {{"charges", fixtures::list(Json::array({{{"id", "ch_7"}}}))}};
  EXPECT_EQ(read_payment(sources(intent("succeeded", inside))).charge_id, "ch_7");
  const Json refunds =
      fixtures::list(Json::array({refund("succeeded", 900, 310), refund("failed", 900, 320)}));
  EXPECT_EQ(
      read_payment(
          sources(nullptr, {told(charge("succeeded", {{"amount_refunded", 900}, {"refunds", refunds}}))}))
          .refunded_at,
      310);
}

TEST(Payment, NonsenseIsNothing) {
  const Payment payment = read_payment(sources(
      intent("succeeded", {{"amount", "4900"}, {"amount_received", -1}, {"created", "x"}, {"metadata", 7}}),
      {told(5), told(charge("succeeded", {{"amount", -5}, {"metadata", {{"item_id", 7}}}}))}, {{Json("x")}}));
  EXPECT_EQ(payment.amount, 0);
  EXPECT_EQ(payment.items, Items());
}

TEST(Enrollment, FollowsThePayment) {
  const std::vector<std::pair<const char*, const char*>> kPolicy = {
      {"pending", "pending"},    {"authorized", "pending"},        {"processing", "pending"},
      {"completed", "active"},   {"partially_refunded", "active"}, {"refunded", "refunded"},
      {"disputed", "suspended"}, {"charged_back", "revoked"},      {"failed", "failed"},
      {"canceled", "canceled"}};
  for (const auto& [of_payment, of_enrollment] : kPolicy) {
    Payment payment;
    payment.status = of_payment;
    payment.refunded_at = 1;
    payment.disputed_at = 2;
    EXPECT_EQ(enrollment_status(payment), of_enrollment);
    const std::string status = of_payment;
    const bool ended = status == "refunded" || status == "disputed" || status == "charged_back";
    EXPECT_EQ(enrollment_ended_at(payment).has_value(), ended) << of_payment;
  }
}

TEST(PaymentId, OfEachObject) {
  EXPECT_EQ(payment_id_of("payment_intent", {{"id", "pi_1"}}), "pi_1");
  EXPECT_EQ(payment_id_of("charge", {{"id", "ch_1"}, {"payment_intent", {{"id", "pi_1"}}}}), "pi_1");
  EXPECT_EQ(payment_id_of("charge", {{"id", "ch_1"}}), "ch_1");
  EXPECT_EQ(payment_id_of("refund", {{"id", "re_1"}, {"charge", "ch_1"}}), "ch_1");
  EXPECT_EQ(payment_id_of("dispute", {{"id", "dp_1"}, {"charge", "ch_1"}, {"payment_intent", "pi_1"}}),
            "pi_1");
  EXPECT_EQ(payment_id_of("checkout.session", session("complete", "no_payment_required")), "cs_1");
  EXPECT_EQ(payment_id_of("checkout.session", session("expired", "unpaid")), "");
  EXPECT_EQ(payment_id_of("checkout.session", session("complete", "paid", {{"payment_intent", "pi_1"}})),
            "pi_1");
  EXPECT_EQ(payment_id_of("checkout.session", session("complete", "paid", {{"mode", "subscription"}})), "");
  EXPECT_EQ(payment_id_of("invoice_payment", {{"payment", {{"payment_intent", "pi_1"}}}}), "pi_1");
  EXPECT_EQ(payment_id_of("customer", {{"id", "cus_1"}}), "");
}

std::string image(const Payment& payment) {
  return to_text(Json{{"charge", payment.charge_id},
                      {"session", payment.session_id},
                      {"status", payment.status},
                      {"amount", payment.amount},
                      {"refunded", payment.amount_refunded},
                      {"refunded_at", payment.refunded_at.value_or(-1)},
                      {"dispute", payment.dispute_status},
                      {"email", payment.customer_email},
                      {"paid_at", payment.paid_at.value_or(-1)},
                      {"created", payment.created.value_or(-1)},
                      {"metadata", payment.metadata}});
}

RC_GTEST_PROP(Payment, TheOrderOfWhatIsReadDecidesNothing, ()) {
  std::vector<ChargeFacts> charges;
  const int attempts = *rc::gen::inRange(0, 4);
  for (int i = 0; i < attempts; ++i) {
    const char* status = *rc::gen::element("succeeded", "failed", "pending");
    std::vector<Json> disputes;
    for (int j = *rc::gen::inRange(0, 3); j > 0; --j)
      disputes.push_back(dispute(*rc::gen::element("won", "lost", "needs_response"), *rc::gen::inRange(1, 4),
                                 j == 1 ? "dp_1" : "dp_2"));
    charges.push_back(told(charge(status, {{"id", "ch_" + std::to_string(i)},
                                           {"created", *rc::gen::inRange(1, 4)},
                                           {"amount_refunded", *rc::gen::element(0, 900, 4900)}}),
                           {}, disputes));
  }
  std::vector<CheckoutFacts> checkouts;
  for (int i = *rc::gen::inRange(0, 3); i > 0; --i)
    checkouts.push_back(
        {session(*rc::gen::element("open", "complete", "expired"), *rc::gen::element("paid", "unpaid"),
                 {{"id", "cs_" + std::to_string(i)}, {"created", *rc::gen::inRange(1, 3)}}),
         *rc::gen::arbitrary<bool>()});
  const Json of_intent =
      *rc::gen::element(Json(nullptr), intent("processing"), intent("succeeded"), intent("canceled"));
  const std::string once = image(read_payment(sources(of_intent, charges, checkouts)));
  for (ChargeFacts& facts : charges) std::reverse(facts.disputes.begin(), facts.disputes.end());
  std::reverse(charges.begin(), charges.end());
  std::reverse(checkouts.begin(), checkouts.end());
  RC_ASSERT(image(read_payment(sources(of_intent, charges, checkouts))) == once);
}

}  // namespace
}  // namespace billing
