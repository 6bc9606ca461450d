// Whatever JSON arrives, no rule throws: a future API version may change any member to any type.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "core/activity.hpp"
#include "core/customer_link.hpp"
#include "core/fields.hpp"
#include "core/scheduled_change.hpp"
#include "core/scope.hpp"
#include "generators.hpp"

namespace billing {
namespace {

void read_every_field(const Json& object) {
  fields::subscription_period(object);
  fields::next_renewal(object);
  for (const char* key : {"items", "lines", "phases", "payments"}) {
    for (const Json& element : list_of(object, key)) {
      fields::item_period(element, object);
      fields::price_product(fields::item_price(element));
      fields::line_price(element);
      fields::line_subscription(element);
      fields::line_is_proration(element);
      fields::invoice_payment_invoice(element);
      fields::invoice_payment_intent_of(element);
    }
  }
  fields::item_period(object, object);
  fields::item_price(object);
  fields::price_product(object);
  fields::invoice_subscription(object);
  fields::invoice_subscription_metadata(object);
  fields::invoice_is_paid(object);
  fields::invoice_charge(object);
  fields::invoice_payment_intent(object);
  fields::invoice_paid_until(object);
  fields::line_price(object);
  fields::line_subscription(object);
  fields::line_is_proration(object);
  fields::payment_invoice(object);
  fields::refund_charge(object);
  fields::invoice_payment_invoice(object);
  fields::invoice_payment_intent_of(object);
  fields::discount_coupon(object);
  for (const char* type : {"invoice", "charge", "payment_intent", "refund", "dispute", "invoice_payment",
                           "subscription_schedule", "checkout.session", "customer", ""}) {
    fields::parent_id(type, object);
    is_terminal(type, object);
    lifecycle_rank(type, object);
    link_evidence(type, object);
  }
}

void judge_everything(const Json& object) {
  std::vector<Subscription> all = {read_subscription(object)};
  all.back().scheduled_change = change_by_schedule(object);
  all.push_back(read_subscription(object));
  all.back().scheduled_change = object;
  const Instant now = *rc::gen::arbitrary<Instant>();
  RC_ASSERT(!to_text(state_json("user_1", all, judge_user(all, *generators::rules(), now))).empty());
}

void apply_every_rule(const Event& event) {
  static const Scope kScope = parse_scope(R"({"products":["prod_1"],"metadata":{"user_id":"user_1"}})");
  rank_of(event);
  activity_of(event);
  link_evidence(event);
  needs_user(event);
  in_scope(kScope, event);
}

Json any_object() {
  return *rc::gen::oneOf(
      generators::json(), generators::damaged(fixtures::old_subscription()),
      generators::damaged(fixtures::new_subscription()), generators::damaged(fixtures::old_invoice()),
      generators::damaged(fixtures::new_invoice()), generators::damaged(fixtures::schedule()),
      generators::damaged(fixtures::checkout_session()));
}

RC_GTEST_PROP(OddInput, EveryAccessorReadsAnything, ()) { read_every_field(any_object()); }

RC_GTEST_PROP(OddInput, EverySubscriptionIsJudged, ()) { judge_everything(any_object()); }

RC_GTEST_PROP(OddInput, EveryRuleTakesEveryEvent, ()) {
  const std::string type = *rc::gen::element<std::string>(
      "customer.subscription.created", "customer.subscription.updated", "customer.subscription.deleted",
      "invoice.paid", "invoice.payment_failed", "checkout.session.completed", "subscription_schedule.updated",
      "customer.deleted", "x");
  Json json = fixtures::event_json(type, any_object());
  if (*rc::gen::arbitrary<bool>()) json["data"]["previous_attributes"] = any_object();
  json = *generators::damaged(json);
  try {
    apply_every_rule(parse_event(to_text(json)));
  } catch (const EventError&) {
  }
}

RC_GTEST_PROP(OddInput, EveryScopeIsReadOrRefused, ()) {
  const Json valid = {{"products", {"prod_1"}}, {"metadata", {{"app", "shop"}}}};
  try {
    parse_scope(to_text(*generators::damaged(valid)));
  } catch (const JsonError&) {
  }
}

}  // namespace
}  // namespace billing
