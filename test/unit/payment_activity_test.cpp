// What events of payments leave in audit_logs.
#include "core/payment_activity.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "fixtures.hpp"

namespace billing {
namespace {

using fixtures::event;
using Lines = std::vector<std::pair<std::string, std::string>>;  // action and subject

const Json kIntent = {{"id", "pi_1"},      {"object", "payment_intent"}, {"amount", 500},
                      {"currency", "eur"}, {"status", "succeeded"},      {"amount_received", 400}};

Payment purchase() {
  Payment payment;
  payment.items = {"course_1", "course_2"};
  return payment;
}

Lines lines(const std::string& type, const Json& object, bool stands_alone = true) {
  Lines found;
  for (const Activity& one : payment_activities(event(type, object), "pi_1", purchase(), stands_alone)) {
    found.emplace_back(one.action, one.subject);
    EXPECT_EQ(one.details["payment_id"], "pi_1");
    const auto& actions = payment_line_actions();
    EXPECT_TRUE(std::binary_search(actions.begin(), actions.end(), one.action)) << one.action;
    const auto& types = payment_line_types(stands_alone);
    EXPECT_TRUE(std::binary_search(types.begin(), types.end(), type)) << type;
  }
  return found;
}

Json charge(const Json& intent, const char* status, bool refunded = false) {
  return {{"id", "ch_1"},      {"object", "charge"},     {"payment_intent", intent}, {"amount", 500},
          {"currency", "eur"}, {"amount_refunded", 200}, {"status", status},         {"refunded", refunded}};
}

Json dispute(const char* status) {
  return {{"id", "dp_1"}, {"object", "dispute"}, {"charge", "ch_1"}, {"amount", 500}, {"status", status}};
}

TEST(PaymentActivity, OfAPurchase) {
  const Lines bought = {{"payment_succeeded", "pi_1"},
                        {"enrollment_activated", "course_1"},
                        {"enrollment_activated", "course_2"}};
  EXPECT_EQ(lines("payment_intent.succeeded", kIntent), bought);
  const auto paid = payment_activities(event("payment_intent.succeeded", kIntent), "pi_1", purchase(), true);
  EXPECT_EQ(paid[0].details, Json({{"payment_id", "pi_1"},
                                   {"status", "succeeded"},
                                   {"amount", 400},
                                   {"currency", "eur"},
                                   {"items", {"course_1", "course_2"}}}));
  EXPECT_EQ(lines("payment_intent.payment_failed", kIntent), Lines({{"payment_failed", "pi_1"}}));
  EXPECT_EQ(lines("payment_intent.created", kIntent), Lines());
}

TEST(PaymentActivity, AChargeTellsWhereThereIsNoIntent) {
  EXPECT_EQ(lines("charge.succeeded", charge("pi_1", "succeeded")), Lines());
  EXPECT_EQ(lines("charge.failed", charge("pi_1", "failed")), Lines());
  EXPECT_EQ(lines("charge.succeeded", charge(nullptr, "succeeded")).size(), 3U);
  EXPECT_EQ(lines("charge.failed", charge(nullptr, "failed")), Lines({{"payment_failed", "pi_1"}}));
  Json authorized = charge(nullptr, "succeeded");
  authorized["captured"] = false;
  EXPECT_EQ(lines("charge.succeeded", authorized), Lines());
  EXPECT_EQ(lines("charge.captured", charge(nullptr, "succeeded")).size(), 3U);
  EXPECT_EQ(lines("charge.captured", charge("pi_1", "succeeded")), Lines());
}

TEST(PaymentActivity, AFreeCheckoutActivates) {
  const Json free = {
      {"id", "cs_1"}, {"object", "checkout.session"}, {"payment_status", "no_payment_required"}};
  const Lines activated = {{"enrollment_activated", "course_1"}, {"enrollment_activated", "course_2"}};
  EXPECT_EQ(lines("checkout.session.completed", free), activated);
  const Json paid = {{"id", "cs_1"}, {"object", "checkout.session"}, {"payment_status", "paid"}};
  EXPECT_EQ(lines("checkout.session.completed", paid), Lines());
}

TEST(PaymentActivity, WhatGoesBack) {
  EXPECT_EQ(lines("charge.refunded", charge("pi_1", "succeeded")), Lines({{"payment_refunded", "pi_1"}}));
  const Lines refunded = {
      {"payment_refunded", "pi_1"}, {"enrollment_refunded", "course_1"}, {"enrollment_refunded", "course_2"}};
  EXPECT_EQ(lines("charge.refunded", charge("pi_1", "succeeded", true)), refunded);
  EXPECT_EQ(lines("charge.dispute.created", dispute("needs_response"))[1].first, "enrollment_suspended");
  EXPECT_EQ(lines("charge.dispute.created", dispute("warning_needs_response")),
            Lines({{"payment_disputed", "pi_1"}}));
  EXPECT_EQ(lines("charge.dispute.closed", dispute("lost"))[1].first, "enrollment_revoked");
  EXPECT_EQ(lines("charge.dispute.closed", dispute("won"))[1].first, "enrollment_reinstated");
  EXPECT_EQ(lines("charge.dispute.closed", dispute("warning_closed")), Lines({{"dispute_closed", "pi_1"}}));
}

TEST(PaymentActivity, WhatPaysAnInvoiceIsToldByTheInvoice) {
  EXPECT_EQ(lines("payment_intent.succeeded", kIntent, false), Lines());
  EXPECT_EQ(lines("payment_intent.payment_failed", kIntent, false), Lines());
  EXPECT_EQ(lines("charge.refunded", charge("pi_1", "succeeded", true), false),
            Lines({{"payment_refunded", "pi_1"}}));
  EXPECT_EQ(lines("charge.dispute.closed", dispute("lost"), false), Lines({{"dispute_lost", "pi_1"}}));
}

}  // namespace
}  // namespace billing
