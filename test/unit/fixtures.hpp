// Stripe objects and events for the unit tests: values of our own, in the shapes that Stripe sends.
#pragma once

#include <string>

#include "core/event.hpp"
#include "core/subscription.hpp"

namespace billing::fixtures {

inline constexpr Seconds kDay = 86400;
inline constexpr Seconds kStart = 1'767'225'600;  // 2026-01-01
inline constexpr Seconds kEnd = kStart + 30 * kDay;
inline constexpr Seconds kSlackEnd = kEnd + 3 * kDay;    // with the default rules
inline constexpr Seconds kGraceEnd = kStart + 7 * kDay;  // with the default rules

inline Json price(const std::string& id = "price_pro", const std::string& product = "prod_pro") {
  return {{"id", id},
          {"object", "price"},
          {"currency", "eur"},
          {"lookup_key", "pro"},
          {"metadata", Json::object()},
          {"product", product},
          {"recurring", {{"interval", "month"}, {"interval_count", 1}, {"usage_type", "licensed"}}},
          {"type", "recurring"},
          {"unit_amount", 2900}};
}

inline Json plan(const std::string& id = "plan_pro") {
  return {{"id", id},          {"object", "plan"},    {"amount", 2900},
          {"currency", "eur"}, {"interval", "month"}, {"product", "prod_pro"}};
}

inline Json list(Json elements, bool has_more = false) {
  return {{"object", "list"}, {"data", std::move(elements)}, {"has_more", has_more}};
}

inline Json item(const std::string& id = "si_1") {
  return {{"id", id}, {"object", "subscription_item"}, {"price", price()}, {"quantity", 2}};
}

// The members that every API version has.
inline Json subscription_base() {
  return {{"id", "sub_1"},
          {"object", "subscription"},
          {"cancel_at", nullptr},
          {"cancel_at_period_end", false},
          {"canceled_at", nullptr},
          {"collection_method", "charge_automatically"},
          {"created", kStart},
          {"customer", "cus_1"},
          {"ended_at", nullptr},
          {"latest_invoice", "in_1"},
          {"livemode", true},
          {"metadata", {{"user_id", "user_1"}}},
          {"pause_collection", nullptr},
          {"schedule", nullptr},
          {"status", "active"},
          {"trial_end", nullptr},
          {"trial_start", nullptr}};
}

// Before 2025-03-31.basil: the period is the subscription's.
inline Json old_subscription() {
  Json object = subscription_base();
  object["current_period_start"] = kStart;
  object["current_period_end"] = kEnd;
  object["items"] = list(Json::array({item()}));
  return object;
}

// Since basil: the periods are the items'.
inline Json new_subscription() {
  Json object = subscription_base();
  Json only = item();
  only["current_period_start"] = kStart;
  only["current_period_end"] = kEnd;
  object["items"] = list(Json::array({only}));
  return object;
}

inline Json old_line() {
  return {{"id", "il_1"},
          {"object", "line_item"},
          {"amount", 5800},
          {"period", {{"start", kStart}, {"end", kEnd}}},
          {"plan", plan("price_pro")},
          {"price", price()},
          {"proration", false},
          {"subscription", "sub_1"},
          {"subscription_item", "si_1"},
          {"type", "subscription"}};
}

inline Json new_line() {
  return {
      {"id", "il_1"},
      {"object", "line_item"},
      {"amount", 5800},
      {"parent",
       {{"type", "subscription_item_details"},
        {"invoice_item_details", nullptr},
        {"subscription_item_details",
         {{"proration", false}, {"subscription", "sub_1"}, {"subscription_item", "si_1"}}}}},
      {"period", {{"start", kStart}, {"end", kEnd}}},
      {"pricing",
       {{"type", "price_details"}, {"price_details", {{"price", "price_pro"}, {"product", "prod_pro"}}}}}};
}

inline Json invoice_base() {
  return {{"id", "in_1"},       {"object", "invoice"},
          {"amount_due", 5800}, {"amount_paid", 5800},
          {"attempt_count", 1}, {"billing_reason", "subscription_cycle"},
          {"currency", "eur"},  {"customer", "cus_1"},
          {"livemode", true},   {"metadata", Json::object()},
          {"status", "paid"}};
}

inline Json old_invoice() {
  Json object = invoice_base();
  object["charge"] = "ch_1";
  object["lines"] = list(Json::array({old_line()}));
  object["paid"] = true;
  object["payment_intent"] = "pi_1";
  object["subscription"] = "sub_1";
  object["subscription_details"] = {{"metadata", {{"user_id", "user_1"}}}};
  return object;
}

inline Json new_invoice() {
  Json object = invoice_base();
  object["lines"] = list(Json::array({new_line()}));
  object["parent"] = {
      {"type", "subscription_details"},
      {"quote_details", nullptr},
      {"subscription_details", {{"metadata", {{"user_id", "user_1"}}}, {"subscription", "sub_1"}}}};
  object["payments"] =
      list(Json::array({{{"id", "inpay_1"},
                         {"object", "invoice_payment"},
                         {"invoice", "in_1"},
                         {"is_default", true},
                         {"payment", {{"type", "payment_intent"}, {"payment_intent", "pi_1"}}},
                         {"status", "paid"}}}));
  return object;
}

inline Json checkout_session() {
  return {{"id", "cs_1"},           {"object", "checkout.session"},
          {"amount_total", 5800},   {"client_reference_id", "user_1"},
          {"currency", "eur"},      {"customer", "cus_1"},
          {"mode", "subscription"}, {"payment_intent", nullptr},
          {"status", "complete"},   {"subscription", "sub_1"}};
}

inline Json schedule() {
  const auto phase = [](Seconds start, Seconds end, const char* price_id, int quantity) {
    return Json{{"start_date", start},
                {"end_date", end},
                {"items", Json::array({{{"price", price_id}, {"quantity", quantity}}})}};
  };
  return {{"id", "sub_sched_1"},
          {"object", "subscription_schedule"},
          {"current_phase", {{"start_date", kStart}, {"end_date", kEnd}}},
          {"customer", "cus_1"},
          {"phases",
           Json::array({phase(kStart, kEnd, "price_basic", 1), phase(kEnd, kEnd + 30 * kDay, "price_pro", 3),
                        phase(kEnd + 30 * kDay, kEnd + 60 * kDay, "price_max", 4)})},
          {"released_subscription", nullptr},
          {"status", "active"},
          {"subscription", "sub_1"}};
}

// Subscriptions as the rules judge them.

inline Subscription with_status(const std::string& status) {
  Subscription one = read_subscription(new_subscription());
  one.status = status;
  one.event_created = kStart;
  return one;
}

inline Subscription trialing() {
  Subscription one = with_status("trialing");
  one.trial_start = kStart;
  one.trial_end = kEnd;
  return one;
}

inline Subscription canceled(std::optional<Seconds> ended_at) {
  Subscription one = with_status("canceled");
  one.ended_at = ended_at;
  return one;
}

// Events.

inline Json event_json(const std::string& type, Json object) {
  return {{"id", "evt_1"},
          {"object", "event"},
          {"api_version", "2025-10-29.clover"},
          {"created", kStart},
          {"data", {{"object", std::move(object)}}},
          {"livemode", true},
          {"pending_webhooks", 1},
          {"request", {{"id", nullptr}, {"idempotency_key", nullptr}}},
          {"type", type}};
}

inline Event event(const std::string& type, Json object) {
  return parse_event(to_text(event_json(type, std::move(object))));
}

inline Event update(const std::string& type, Json object, Json previous_attributes) {
  Json json = event_json(type, std::move(object));
  json["data"]["previous_attributes"] = std::move(previous_attributes);
  return parse_event(to_text(json));
}

}  // namespace billing::fixtures
