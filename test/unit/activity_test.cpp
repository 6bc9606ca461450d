// What an event leaves in audit_logs.
#include "core/activity.hpp"

#include <gtest/gtest.h>

#include "fixtures.hpp"

namespace billing {
namespace {

using fixtures::event;
using fixtures::kEnd;
using fixtures::update;

Json subscription(const std::string& status, const Json& changes = Json::object()) {
  Json object = fixtures::new_subscription();
  object["status"] = status;
  object.update(changes);
  return object;
}

std::string action_of(const Event& one) {
  const std::optional<Activity> activity = activity_of(one);
  return activity ? activity->action : "";
}

std::string updated(const Json& object, const Json& previous) {
  return action_of(update("customer.subscription.updated", object, previous));
}

TEST(Activity, Creation) {
  EXPECT_EQ(action_of(event("customer.subscription.created", subscription("active"))),
            "subscription_activated");
  EXPECT_EQ(action_of(event("customer.subscription.created", subscription("trialing"))),
            "subscription_activated");
  EXPECT_EQ(action_of(event("customer.subscription.created", subscription("incomplete"))),
            "subscription_created");
}

TEST(Activity, Activation) {
  for (const char* before : {"incomplete", "past_due", "unpaid", "paused"}) {
    EXPECT_EQ(updated(subscription("active"), {{"status", before}}), "subscription_activated") << before;
  }
  EXPECT_EQ(updated(subscription("active"), {{"status", "trialing"}}), "subscription_updated");
  EXPECT_EQ(updated(subscription("active"), Json::object()), "subscription_updated");
}

TEST(Activity, Decline) {
  EXPECT_EQ(updated(subscription("past_due"), {{"status", "active"}}), "subscription_past_due");
  EXPECT_EQ(updated(subscription("unpaid"), {{"status", "past_due"}}), "subscription_unpaid");
  EXPECT_EQ(updated(subscription("paused"), {{"status", "trialing"}}), "subscription_paused");
  EXPECT_EQ(updated(subscription("past_due"), {{"quantity", 1}}), "subscription_updated");
  EXPECT_EQ(updated(subscription("incomplete_expired"), {{"status", "incomplete"}}), "subscription_updated");
}

TEST(Activity, CancellationIsDecidedAndTakenBack) {
  EXPECT_EQ(
      updated(subscription("active", {{"cancel_at_period_end", true}}), {{"cancel_at_period_end", false}}),
      "subscription_canceled");
  EXPECT_EQ(updated(subscription("active", {{"cancel_at", kEnd}}), {{"cancel_at", nullptr}}),
            "subscription_canceled");
  EXPECT_EQ(updated(subscription("active"), {{"cancel_at_period_end", true}}), "subscription_resumed");
  EXPECT_EQ(updated(subscription("active"), {{"cancel_at", kEnd}}), "subscription_resumed");
  EXPECT_EQ(updated(subscription("active"), {{"cancel_at", kEnd}, {"cancel_at_period_end", true}}),
            "subscription_resumed");
}

TEST(Activity, MovingADecidedEndIsAnUpdate) {
  EXPECT_EQ(updated(subscription("active", {{"cancel_at", kEnd}}), {{"cancel_at", kEnd - 1}}),
            "subscription_updated");
  EXPECT_EQ(updated(subscription("active", {{"cancel_at", kEnd}, {"cancel_at_period_end", true}}),
                    {{"cancel_at_period_end", false}}),
            "subscription_updated");
}

TEST(Activity, EndAndReminder) {
  EXPECT_EQ(action_of(event("customer.subscription.deleted", subscription("canceled"))),
            "subscription_ended");
  EXPECT_EQ(action_of(event("customer.subscription.trial_will_end", subscription("trialing"))),
            "trial_will_end");
}

TEST(Activity, SubscriptionDetails) {
  const auto activity = activity_of(event("customer.subscription.created", subscription("active")));
  ASSERT_TRUE(activity);
  EXPECT_EQ(activity->subject, "sub_1");
  EXPECT_FALSE(activity->once);
  EXPECT_EQ(activity->details, Json({{"status", "active"}, {"price_id", "price_pro"}, {"currency", "eur"}}));
}

TEST(Activity, OnePaymentIsToldTwiceAndKeptOnce) {
  for (const Json& invoice : {fixtures::old_invoice(), fixtures::new_invoice()}) {
    for (const char* type : {"invoice.paid", "invoice.payment_succeeded"}) {
      const auto activity = activity_of(event(type, invoice));
      ASSERT_TRUE(activity);
      EXPECT_EQ(activity->action, "payment_succeeded");
      EXPECT_EQ(activity->subject, "in_1");
      EXPECT_TRUE(activity->once);
      EXPECT_EQ(activity->details, Json({{"status", "paid"},
                                         {"amount", 5800},
                                         {"currency", "eur"},
                                         {"attempt_count", 1},
                                         {"price_id", "price_pro"}}));
    }
  }
}

TEST(Activity, FailuresMayRepeat) {
  Json invoice = fixtures::new_invoice();
  invoice["amount_paid"] = 0;
  for (const auto& [type, action] :
       {std::pair{"invoice.payment_failed", "payment_failed"},
        std::pair{"invoice.payment_action_required", "payment_action_required"}}) {
    const auto activity = activity_of(event(type, invoice));
    ASSERT_TRUE(activity);
    EXPECT_EQ(activity->action, action);
    EXPECT_FALSE(activity->once);
    EXPECT_EQ(activity->details["amount"], 5800);
  }
}

TEST(Activity, Checkout) {
  const auto done = activity_of(event("checkout.session.completed", fixtures::checkout_session()));
  ASSERT_TRUE(done);
  EXPECT_EQ(done->action, "checkout_completed");
  EXPECT_EQ(done->subject, "cs_1");
  EXPECT_EQ(done->details, Json({{"status", "complete"}, {"amount", 5800}, {"currency", "eur"}}));
  EXPECT_EQ(action_of(event("checkout.session.async_payment_failed", fixtures::checkout_session())),
            "payment_failed");
}

TEST(Activity, CustomerDeleted) {
  const auto gone =
      activity_of(event("customer.deleted", {{"id", "cus_1"}, {"object", "customer"}, {"deleted", true}}));
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->action, "customer_deleted");
  EXPECT_EQ(gone->subject, "cus_1");
}

TEST(Activity, NothingPersonalIsKept) {
  Json invoice = fixtures::new_invoice();
  invoice["customer_email"] = "someone@example.org";
  invoice["customer_name"] = "Someone";
  invoice["metadata"] = {{"user_id", "someone"}};
  EXPECT_EQ(to_text(activity_of(event("invoice.paid", invoice))->details).find("ome"), std::string::npos);
}

TEST(Activity, OtherEventsLeaveNoLine) {
  for (const char* type : {"customer.updated", "invoice.created", "invoice.upcoming", "product.updated",
                           "payment_method.attached", "customer.subscription.paused", "made.up"}) {
    EXPECT_EQ(action_of(event(type, {{"id", "x_1"}})), "") << type;
  }
  EXPECT_EQ(action_of(parse_event(R"({"id":"e","type":"invoice.paid","created":1})")), "");
}

}  // namespace
}  // namespace billing
