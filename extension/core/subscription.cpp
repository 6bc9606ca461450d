#include "core/subscription.hpp"

#include <algorithm>

#include "core/fields.hpp"
#include "core/scheduled_change.hpp"
#include "core/test_clock.hpp"

namespace billing {
namespace {

// `price` and the `plan` of versions before prices existed call the same things differently.
void read_price(const Json& price, SubscriptionItem& item) {
  item.price_id = text_of(price, "id").value_or("");
  item.product_id = fields::price_product(price);
  item.lookup_key = text_of(price, "lookup_key").value_or("");
  item.unit_amount = integer_of(price, "unit_amount");
  if (!item.unit_amount) item.unit_amount = integer_of(price, "amount");
  item.currency = text_of(price, "currency").value_or("");
  item.interval =
      text_of(at(price, "recurring"), "interval").value_or(text_of(price, "interval").value_or(""));
}

SubscriptionItem read_item(const Json& object, const Json& subscription) {
  SubscriptionItem item;
  item.id = text_of(object, "id").value_or("");
  read_price(fields::item_price(object), item);
  if (item.price_id.empty()) item.price_id = id_of(object, "price");
  if (item.price_id.empty()) item.price_id = id_of(object, "plan");
  item.quantity = integer_of(object, "quantity").value_or(1);
  const fields::Period period = fields::item_period(object, subscription);
  item.period_start = period.start;
  item.period_end = period.end;
  return item;
}

std::vector<SubscriptionItem> read_items(const Json& subscription) {
  std::vector<SubscriptionItem> items;
  for (const Json& item : list_of(subscription, "items")) items.push_back(read_item(item, subscription));
  // The oldest versions have one plan and one quantity on the subscription itself.
  if (items.empty() && at(subscription, "plan").is_object()) {
    items.push_back(read_item(subscription, subscription));
    items.back().id.clear();
  }
  return items;
}

}  // namespace

Subscription read_subscription(const Json& object) {
  Subscription subscription;
  subscription.id = text_of(object, "id").value_or("");
  subscription.customer_id = id_of(object, "customer");
  subscription.livemode = flag_of(object, "livemode");
  subscription.status = text_of(object, "status").value_or("");
  subscription.items = read_items(object);
  subscription.items_truncated = flag_of(at(object, "items"), "has_more");
  const fields::Period period = fields::subscription_period(object);
  subscription.period_start = period.start;
  subscription.period_end = period.end;
  subscription.next_renewal = fields::next_renewal(object);
  subscription.trial_start = time_of(object, "trial_start");
  subscription.trial_end = time_of(object, "trial_end");
  subscription.cancel_at_period_end = flag_of(object, "cancel_at_period_end");
  subscription.cancel_at = time_of(object, "cancel_at");
  subscription.canceled_at = time_of(object, "canceled_at");
  subscription.ended_at = time_of(object, "ended_at");
  const Json& pause = at(object, "pause_collection");
  subscription.pause_behavior = text_of(pause, "behavior").value_or("");
  subscription.pause_resumes_at = time_of(pause, "resumes_at");
  subscription.collection_method = text_of(object, "collection_method").value_or("");
  subscription.latest_invoice_id = id_of(object, "latest_invoice");
  subscription.schedule_id = id_of(object, "schedule");
  subscription.test_clock = test_clock_of(object);
  subscription.created = time_of(object, "created");
  subscription.scheduled_change = change_by_pending_update(object);
  subscription.metadata = at(object, "metadata");
  return subscription;
}

Seconds reached_by(const Subscription& subscription) {
  Seconds latest = subscription.created.value_or(0);
  for (const std::optional<Seconds>& time :
       {subscription.period_start, subscription.trial_start, subscription.canceled_at, subscription.ended_at})
    latest = std::max(latest, time.value_or(0));
  return latest;
}

}  // namespace billing
