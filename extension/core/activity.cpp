#include "core/activity.hpp"

#include "core/fields.hpp"

namespace billing {
namespace {

bool gives_access(const std::optional<std::string>& status) {
  return status == "active" || status == "trialing";
}

// Whether the end is decided; `previous` overrides members of `subscription` when it has them.
bool was_ending(const Json& subscription, const Json& previous) {
  const auto member = [&](const char* key) -> const Json& {
    return previous.is_object() && previous.contains(key) ? at(previous, key) : at(subscription, key);
  };
  const Json& at_period_end = member("cancel_at_period_end");
  return at_period_end == Json(true) || !member("cancel_at").is_null();
}

std::string update_action(const Event& event) {
  const std::optional<std::string> status = text_of(event.object, "status");
  const std::optional<std::string> previous = text_of(event.previous_attributes, "status");
  if (previous && gives_access(status) && !gives_access(previous)) return "subscription_activated";
  const bool before = was_ending(event.object, event.previous_attributes);
  const bool now = was_ending(event.object, nullptr);
  if (now && !before) return "subscription_canceled";
  if (before && !now) return "subscription_resumed";
  if (previous && status != previous) {
    if (status == "past_due") return "subscription_past_due";
    if (status == "unpaid") return "subscription_unpaid";
    if (status == "paused") return "subscription_paused";
  }
  return "subscription_updated";
}

void add_text(Json& details, const char* name, const std::string& value) {
  if (!value.empty()) details[name] = value;
}

void add_integer(Json& details, const char* name, const Json& object, const char* key) {
  if (const std::optional<std::int64_t> value = integer_of(object, key)) details[name] = *value;
}

Activity subscription_activity(const Event& event, std::string action) {
  // Once is enough: a subscription never comes back.
  const bool once = action == "subscription_ended";
  Activity activity{std::move(action), event.object_id, once, Json::object()};
  add_text(activity.details, "status", text_of(event.object, "status").value_or(""));
  const Json& items = list_of(event.object, "items");
  const Json& first = items.empty() ? event.object : items.front();
  const Json& price = fields::item_price(first);
  add_text(activity.details, "price_id", text_of(price, "id").value_or(""));
  add_text(activity.details, "currency", text_of(price, "currency").value_or(""));
  return activity;
}

// One payment is told by both invoice.paid and invoice.payment_succeeded.
Activity invoice_activity(const Event& event, std::string action, const char* amount) {
  const bool once = action == "payment_succeeded";
  Activity activity{std::move(action), event.object_id, once, Json::object()};
  add_text(activity.details, "status", text_of(event.object, "status").value_or(""));
  add_integer(activity.details, "amount", event.object, amount);
  add_text(activity.details, "currency", text_of(event.object, "currency").value_or(""));
  add_integer(activity.details, "attempt_count", event.object, "attempt_count");
  const Json& lines = list_of(event.object, "lines");
  if (!lines.empty()) add_text(activity.details, "price_id", fields::line_price(lines.front()));
  return activity;
}

Activity checkout_activity(const Event& event, std::string action) {
  Activity activity{std::move(action), event.object_id, false, Json::object()};
  add_text(activity.details, "status", text_of(event.object, "status").value_or(""));
  add_integer(activity.details, "amount", event.object, "amount_total");
  add_text(activity.details, "currency", text_of(event.object, "currency").value_or(""));
  return activity;
}

}  // namespace

std::optional<Activity> activity_of(const Event& event) {
  if (!event.object.is_object()) return std::nullopt;
  const std::string& type = event.type;
  if (type == "customer.subscription.created") {
    const bool active = gives_access(text_of(event.object, "status"));
    return subscription_activity(event, active ? "subscription_activated" : "subscription_created");
  }
  if (type == "customer.subscription.updated") return subscription_activity(event, update_action(event));
  if (type == "customer.subscription.deleted") return subscription_activity(event, "subscription_ended");
  if (type == "customer.subscription.trial_will_end") return subscription_activity(event, "trial_will_end");
  if (type == "invoice.paid" || type == "invoice.payment_succeeded") {
    return invoice_activity(event, "payment_succeeded", "amount_paid");
  }
  if (type == "invoice.payment_failed") return invoice_activity(event, "payment_failed", "amount_due");
  if (type == "invoice.payment_action_required") {
    return invoice_activity(event, "payment_action_required", "amount_due");
  }
  if (type == "checkout.session.completed") return checkout_activity(event, "checkout_completed");
  if (type == "checkout.session.async_payment_failed") return checkout_activity(event, "payment_failed");
  if (type == "customer.deleted") return Activity{"customer_deleted", event.object_id, false, Json::object()};
  return std::nullopt;
}

}  // namespace billing
