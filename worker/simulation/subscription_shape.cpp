// Subscriptions, their schedules, and the checkout sessions that start them.
#include "worker/simulation/shapes.hpp"

namespace billing::simulation {
namespace {

Json item_json(const Item& item, const Subscription& subscription, const Shape& shape) {
  static const Json common = common_members(R"({
    "object": "subscription_item", "billing_thresholds": null, "metadata": {}, "tax_rates": []})");
  Json json = common;
  json["id"] = item.id;
  json["created"] = item.created;
  if (shape.version.basil) {
    json["current_period_end"] = subscription.period.end;
    json["current_period_start"] = item.start;
    json["discounts"] = Json::array();
  }
  json["plan"] = plan_json(*item.price, shape);
  json["price"] = to_json(*item.price, shape);
  json["quantity"] = item.quantity;
  json["subscription"] = subscription.id;
  return json;
}

const Json& subscription_members(const Shape& shape) {
  static const char* const kCommon = R"({
    "object": "subscription", "application": null, "application_fee_percent": null, "billing_thresholds": null,
    "currency": "eur", "default_source": null, "default_tax_rates": [], "description": null,
    "next_pending_invoice_item_invoice": null, "on_behalf_of": null, "pending_invoice_item_interval": null,
    "pending_setup_intent": null, "pending_update": null, "test_clock": null, "transfer_data": null,
    "payment_settings": {"payment_method_options": null, "payment_method_types": null,
      "save_default_payment_method": "on_subscription"}})";
  static const Json before_basil =
      common_members(kCommon, R"({"automatic_tax": {"enabled": false}, "discount": null})");
  static const Json since_basil = common_members(kCommon, R"({
    "automatic_tax": {"disabled_reason": null, "enabled": false, "liability": null},
    "billing_cycle_anchor_config": null, "discounts": [],
    "billing_mode": {"flexible": {"proration_discounts": "included"}, "type": "flexible"},
    "invoice_settings": {"account_tax_ids": null, "issuer": {"type": "self"}},
    "trial_settings": {"end_behavior": {"missing_payment_method": "pause"}}})");
  return shape.version.basil ? since_basil : before_basil;
}

Json phase_json(const Phase& phase, const Shape& shape) {
  static const Json common = common_members(R"({
    "add_invoice_items": [], "application_fee_percent": null, "billing_cycle_anchor": null,
    "collection_method": null, "currency": "eur", "default_tax_rates": [], "description": null,
    "invoice_settings": null, "metadata": {}, "proration_behavior": "create_prorations", "transfer_data": null,
    "trial_end": null})");
  Json item = {{"billing_thresholds", nullptr}, {"metadata", Json::object()}, {"plan", phase.price->id},
               {"price", phase.price->id},      {"quantity", phase.quantity}, {"tax_rates", Json::array()}};
  Json json = common;
  json[shape.version.basil ? "discounts" : "coupon"] = shape.version.basil ? Json::array() : Json(nullptr);
  json["end_date"] = phase.period.end;
  json["items"] = Json::array({std::move(item)});
  json["start_date"] = phase.period.start;
  return json;
}

}  // namespace

Json to_json(const Subscription& subscription, const Shape& shape) {
  const Subscription& s = subscription;
  Json json = subscription_members(shape);
  Json items = Json::array();
  for (const Item& item : s.items) items.push_back(item_json(item, s, shape));
  const Item* single = s.items.size() == 1 ? &s.items.front() : nullptr;
  json["id"] = s.id;
  json["billing_cycle_anchor"] = s.anchor;
  json["cancel_at"] = or_null(s.cancel_at);
  json["cancel_at_period_end"] = s.cancel_at_period_end;
  json["canceled_at"] = or_null(s.canceled_at);
  json["cancellation_details"] = {
      {"comment", nullptr}, {"feedback", nullptr}, {"reason", or_null(s.cancellation_reason)}};
  json["collection_method"] = s.by_invoice ? "send_invoice" : "charge_automatically";
  json["created"] = s.created;
  if (!shape.version.basil) {
    json["current_period_end"] = s.period.end;
    json["current_period_start"] = s.period.start;
  }
  json["customer"] = s.customer;
  json["days_until_due"] = s.by_invoice ? Json(14) : Json(nullptr);
  json["default_payment_method"] = or_null(s.payment_method);
  json["ended_at"] = or_null(s.ended_at);
  json["items"] = list_json(std::move(items), "/v1/subscription_items?subscription=" + s.id);
  json["latest_invoice"] = or_null(s.latest_invoice);
  json["livemode"] = shape.livemode;
  json["metadata"] = s.metadata;
  if (s.pause_behavior.empty())
    json["pause_collection"] = nullptr;
  else
    json["pause_collection"] = {{"behavior", s.pause_behavior}, {"resumes_at", or_null(s.resumes_at)}};
  json["plan"] = single != nullptr ? plan_json(*single->price, shape) : Json(nullptr);
  json["quantity"] = single != nullptr ? Json(single->quantity) : Json(nullptr);
  json["schedule"] = s.schedule != nullptr ? Json(s.schedule->id) : Json(nullptr);
  json["start_date"] = s.created;
  json["status"] = s.status;
  json["trial_end"] = or_null(s.trial_end);
  json["trial_start"] = or_null(s.trial_start);
  return json;
}

Json to_json(const Schedule& schedule, const Shape& shape) {
  static const Json common = common_members(R"({
    "object": "subscription_schedule", "application": null, "metadata": {}, "test_clock": null,
    "default_settings": {"billing_cycle_anchor": "automatic", "collection_method": "charge_automatically"}})");
  Json phases = Json::array();
  for (const Phase& phase : schedule.phases) phases.push_back(phase_json(phase, shape));
  const Phase& current = schedule.phases[schedule.current];
  const auto over_as = [&](std::string_view status) {
    return schedule.status == status ? or_null(schedule.over) : Json(nullptr);
  };
  const bool released = schedule.status == "released";
  Json json = common;
  json["id"] = schedule.id;
  json["canceled_at"] = over_as("canceled");
  json["completed_at"] = over_as("completed");
  json["created"] = schedule.created;
  if (schedule.running())
    json["current_phase"] = {{"end_date", current.period.end}, {"start_date", current.period.start}};
  else
    json["current_phase"] = nullptr;
  json["customer"] = schedule.customer;
  json["end_behavior"] = schedule.end_behavior;
  json["livemode"] = shape.livemode;
  json["phases"] = std::move(phases);
  json["released_at"] = over_as("released");
  json["released_subscription"] = released ? Json(schedule.subscription) : Json(nullptr);
  json["status"] = schedule.status;
  json["subscription"] = released ? Json(nullptr) : Json(schedule.subscription);
  return json;
}

Json to_json(const CheckoutSession& session, const Shape& shape) {
  static const Json common = common_members(R"({
    "object": "checkout.session", "after_expiration": null, "allow_promotion_codes": null,
    "automatic_tax": {"enabled": false, "status": null}, "billing_address_collection": null,
    "cancel_url": "https://shop.example/cancel", "consent": null, "currency": "eur",
    "customer_creation": "always", "locale": null, "metadata": {}, "mode": "subscription",
    "payment_intent": null, "payment_link": null, "payment_method_types": ["card"], "setup_intent": null,
    "shipping": null, "submit_type": null, "success_url": "https://shop.example/thanks",
    "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0}, "url": null})");
  Json json = common;
  json["id"] = session.id;
  json["amount_subtotal"] = session.amount;
  json["amount_total"] = session.amount;
  json["client_reference_id"] = or_null(session.user_id);
  json["created"] = session.created;
  json["customer"] = or_null(session.customer);
  json["customer_details"] = {{"address", nullptr}, {"email", session.email}, {"name", nullptr},
                              {"phone", nullptr},   {"tax_exempt", "none"},   {"tax_ids", Json::array()}};
  json["customer_email"] = nullptr;
  json["expires_at"] = session.created + 86400;
  json["invoice"] = or_null(session.invoice);
  json["livemode"] = shape.livemode;
  json["payment_status"] = session.payment_status;
  json["status"] = session.status;
  json["subscription"] = or_null(session.subscription);
  return json;
}

}  // namespace billing::simulation
