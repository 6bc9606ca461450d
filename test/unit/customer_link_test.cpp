// Which user a customer belongs to, and which events must wait until that is known.
#include "core/customer_link.hpp"

#include <gtest/gtest.h>

#include "fixtures.hpp"

namespace billing {
namespace {

using fixtures::event;

void expect_evidence(const std::optional<LinkEvidence>& found, const char* user_id, const char* source,
                     int priority) {
  ASSERT_TRUE(found);
  EXPECT_EQ(found->user_id, user_id);
  EXPECT_EQ(found->source, source);
  EXPECT_EQ(found->priority, priority);
}

Json customer_with(const Json& user_id) {
  return {{"id", "cus_1"}, {"object", "customer"}, {"metadata", {{"user_id", user_id}}}};
}

TEST(LinkEvidence, EachSourceWithItsPriority) {
  expect_evidence(link_evidence(event("checkout.session.completed", fixtures::checkout_session())), "user_1",
                  "client_reference_id", 0);
  expect_evidence(link_evidence(event("customer.subscription.created", fixtures::new_subscription())),
                  "user_1", "subscription_metadata", 1);
  expect_evidence(link_evidence(event("invoice.paid", fixtures::new_invoice())), "user_1", "invoice_metadata",
                  2);
  expect_evidence(link_evidence(event("invoice.paid", fixtures::old_invoice())), "user_1", "invoice_metadata",
                  2);
  expect_evidence(link_evidence(event("customer.created", customer_with("user_1"))), "user_1",
                  "customer_metadata", 3);
}

TEST(LinkEvidence, SnapshotsTellTheSame) {
  expect_evidence(link_evidence("subscription", fixtures::old_subscription()), "user_1",
                  "subscription_metadata", 1);
  expect_evidence(link_evidence("customer", customer_with("user_2")), "user_2", "customer_metadata", 3);
  EXPECT_FALSE(link_evidence("product", {{"metadata", {{"user_id", "user_1"}}}}));
  EXPECT_FALSE(link_evidence("subscription", nullptr));
}

TEST(LinkEvidence, UnusableValuesAreNone) {
  for (const Json& value :
       {Json(""), Json(std::string(256, 'x')), Json(5), Json(nullptr), Json::array({"user_1"})}) {
    EXPECT_FALSE(link_evidence(event("customer.created", customer_with(value)))) << value;
  }
  EXPECT_TRUE(link_evidence(event("customer.created", customer_with(std::string(255, 'x')))));
  Json session = fixtures::checkout_session();
  session["client_reference_id"] = nullptr;
  EXPECT_FALSE(link_evidence(event("checkout.session.completed", session)));
}

TEST(LinkEvidence, NoCustomerToLink) {
  Json session = fixtures::checkout_session();
  session["customer"] = nullptr;
  EXPECT_FALSE(link_evidence(event("checkout.session.completed", session)));
}

TEST(LinkEvidence, AnInvoicesOwnMetadataIsNone) {
  Json invoice = fixtures::invoice_base();
  invoice["metadata"] = {{"user_id", "user_1"}};
  EXPECT_FALSE(link_evidence(event("invoice.paid", invoice)));
}

TEST(NeedsUser, EventsThatMoveAUsersState) {
  for (const char* type :
       {"customer.subscription.created", "customer.subscription.updated", "customer.subscription.deleted",
        "customer.subscription.paused", "customer.subscription.trial_will_end",
        "subscription_schedule.updated", "subscription_schedule.released", "invoice.paid",
        "invoice.payment_succeeded", "invoice.payment_failed", "invoice.payment_action_required",
        "invoice.marked_uncollectible", "invoice.voided", "checkout.session.completed",
        "checkout.session.async_payment_succeeded", "checkout.session.async_payment_failed"}) {
    EXPECT_TRUE(needs_user(event(type, {{"id", "x_1"}, {"customer", "cus_1"}}))) << type;
    EXPECT_FALSE(needs_user(event(type, {{"id", "x_1"}, {"customer", nullptr}}))) << type;
  }
}

TEST(NeedsUser, EventsThatEndInTheMirror) {
  for (const char* type : {"customer.created",
                           "customer.updated",
                           "customer.deleted",
                           "customer.discount.created",
                           "customer.source.updated",
                           "customer.tax_id.created",
                           "invoice.created",
                           "invoice.upcoming",
                           "invoice.finalized",
                           "invoice.updated",
                           "invoice.sent",
                           "checkout.session.expired",
                           "payment_method.attached",
                           "payment_intent.succeeded",
                           "charge.refunded",
                           "product.updated",
                           "price.created",
                           "setup_intent.succeeded",
                           "customer.subscription",
                           "made.up"}) {
    EXPECT_FALSE(needs_user(event(type, {{"id", "x_1"}, {"customer", "cus_1"}}))) << type;
  }
}

TEST(NeedsUser, NotWithoutAnObject) {
  EXPECT_FALSE(needs_user(parse_event(R"({"id":"e","type":"customer.subscription.updated","created":1})")));
  EXPECT_FALSE(needs_user(parse_event(
      R"({"id":"e","object":"v2.core.event","type":"customer.subscription.updated","created":"2026-01-01T00:00:00Z",
          "related_object":{"id":"cus_1","type":"customer"}})")));
}

}  // namespace
}  // namespace billing
