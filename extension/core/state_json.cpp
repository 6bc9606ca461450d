#include <algorithm>
#include <numeric>

#include "core/subscription_state.hpp"

namespace billing {
namespace {

Json time_or_null(const std::optional<Seconds>& time) { return time ? Json(iso_time(*time)) : Json(nullptr); }
Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json pause_json(const Subscription& subscription, const SubscriptionState& state) {
  if (!state.collection_paused) return nullptr;
  return {{"behavior", subscription.pause_behavior},
          {"resumes_at", time_or_null(subscription.pause_resumes_at)}};
}

Json scheduled_change_json(const Subscription& subscription, const SubscriptionState& state) {
  if (!state.change_pending) return nullptr;
  Json change = subscription.scheduled_change;
  change["plan"] = text_or_null(state.coming_plan);
  return change;
}

// What a subscription and the user whose primary one it is say alike.
void add_shared(Json& json, const Subscription& subscription, const SubscriptionState& state) {
  json["stripe_subscription_id"] = text_or_null(subscription.id);
  json["stripe_status"] = text_or_null(subscription.status);
  json["current_period_start"] = time_or_null(subscription.period_start);
  json["current_period_end"] = time_or_null(subscription.period_end);
  json["trial_end"] = time_or_null(subscription.trial_end);
  json["cancel_at_period_end"] = subscription.cancel_at_period_end;
  if (state.frozen_time)
    json["test_clock"] = {{"id", subscription.test_clock}, {"frozen_time", iso_time(*state.frozen_time)}};
  json["scheduled_change"] = scheduled_change_json(subscription, state);
}

void add_state(Json& json, const SubscriptionState& state) {
  json["state"] = state.state;
  json["has_access"] = state.has_access;
  json["reason"] = state.reason;
  json["next_step"] = text_or_null(state.next_step);
  json["renews_at"] = time_or_null(state.renews_at);
  json["ends_at"] = time_or_null(state.ends_at);
  json["stale"] = state.stale;
}

// The id of the plan; before there are plans, the price's lookup key.
Json plan_name(const Subscription& subscription, const SubscriptionState& state, bool planned) {
  if (planned || !state.plan.empty()) return text_or_null(state.plan);
  return subscription.items.empty() ? Json(nullptr) : text_or_null(subscription.items.front().lookup_key);
}

// What is in force.
Json grants_json(const UserState& user) {
  Json all = Json::array();
  for (std::size_t i = 0; i < user.granted.size(); ++i) {
    const SubscriptionState& grant = user.granted[i];
    if (grant.state == "active")
      all.push_back({{"plan", grant.plan},
                     {"until", time_or_null(grant.ends_at)},
                     {"reason", text_or_null(user.granted_why[i])}});
  }
  return all;
}

Json subscription_json(const Subscription& subscription, const SubscriptionState& state) {
  Json json = Json::object();
  add_state(json, state);
  add_shared(json, subscription, state);
  json["access_until"] = time_or_null(state.access_until);
  json["pause_collection"] = pause_json(subscription, state);
  json["ambiguous"] = subscription.ambiguous;
  json["items_truncated"] = subscription.items_truncated;
  Json& items = json["items"] = Json::array();
  for (const SubscriptionItem& item : subscription.items) items.push_back(item_json(item));
  return json;
}

// Newest first, so that the text does not depend on the order in which rows were read.
std::vector<std::size_t> display_order(const std::vector<Subscription>& subscriptions) {
  std::vector<std::size_t> order(subscriptions.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return is_newer(subscriptions[a], subscriptions[b]); });
  return order;
}

}  // namespace

Json item_json(const SubscriptionItem& item) {
  return {{"price_id", text_or_null(item.price_id)},
          {"product_id", text_or_null(item.product_id)},
          {"lookup_key", text_or_null(item.lookup_key)},
          {"quantity", item.quantity},
          {"unit_amount", item.unit_amount ? Json(*item.unit_amount) : Json(nullptr)},
          {"currency", text_or_null(item.currency)},
          {"interval", text_or_null(item.interval)},
          {"current_period_start", time_or_null(item.period_start)},
          {"current_period_end", time_or_null(item.period_end)}};
}

Json state_json(const std::string& user_id, const std::vector<Subscription>& subscriptions,
                const UserState& state) {
  static const Subscription none;
  const Subscription& newest = state.primary ? subscriptions[*state.primary] : none;
  const Subscription& primary = state.grant ? none : newest;
  const SubscriptionItem* item = primary.items.empty() ? nullptr : &primary.items.front();

  Json json = Json::object();
  json["user_id"] = user_id;
  add_state(json, state.effective);
  add_shared(json, primary, state.effective);
  json["plan"] = plan_name(primary, state.effective, state.planned);
  json["price_id"] = item != nullptr ? text_or_null(item->price_id) : Json(nullptr);
  json["quantity"] = item != nullptr ? Json(item->quantity) : Json(nullptr);
  json["can_use_credits"] = state.effective.has_access;
  json["can_purchase"] = state.can_purchase;
  json["access_until"] = time_or_null(state.access_until);
  json["stripe_customer_id"] = text_or_null(newest.customer_id);
  json["livemode"] = state.primary ? Json(newest.livemode) : Json(nullptr);
  json["ambiguous"] = state.ambiguous;
  Json& all = json["subscriptions"] = Json::array();
  for (const std::size_t i : display_order(subscriptions)) {
    all.push_back(subscription_json(subscriptions[i], state.each[i]));
    all.back()["plan"] = plan_name(subscriptions[i], state.each[i], state.planned);
  }
  json["access_grants"] = grants_json(state);
  return json;
}

}  // namespace billing
