// What a user's subscription is, read from Stripe's snapshot in any API version.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/json.hpp"

namespace billing {

struct SubscriptionItem {
  std::string id;
  std::string price_id;
  std::string product_id;
  std::string lookup_key;
  std::int64_t quantity = 1;
  std::optional<std::int64_t> unit_amount;  // minor units of `currency`
  std::string currency;
  std::string interval;  // day, week, month, year; "" when not recurring
  std::optional<Seconds> period_start;
  std::optional<Seconds> period_end;
};

// One row of user_subscriptions.
struct Subscription {
  std::string id;  // sub_...
  std::string customer_id;
  std::string account;
  bool livemode = false;
  std::string status;                   // Stripe's own word, unknown ones included
  std::vector<SubscriptionItem> items;  // in Stripe's order; [0] is the primary one
  bool items_truncated = false;         // the embedded list said has_more
  std::optional<Seconds> period_start;
  std::optional<Seconds> period_end;
  std::optional<Seconds> next_renewal;
  std::optional<Seconds> trial_start;
  std::optional<Seconds> trial_end;
  bool cancel_at_period_end = false;
  std::optional<Seconds> cancel_at;
  std::optional<Seconds> canceled_at;  // when cancellation was requested
  std::optional<Seconds> ended_at;
  std::string pause_behavior;  // pause_collection.behavior; "" when collecting
  std::optional<Seconds> pause_resumes_at;
  std::string collection_method;
  std::string latest_invoice_id;
  std::string schedule_id;
  std::string test_clock;  // clock_... that its customer is on; "" for real time
  std::optional<Seconds> created;
  Json metadata;
  // From other objects of the mirror:
  std::optional<Seconds> paid_through;  // end of the latest period that is paid and did not all go back
  bool customer_deleted = false;
  Json scheduled_change;  // what is going to change (core/scheduled_change.hpp), or null
  // From the mirror row:
  Seconds event_created = 0;
  bool ambiguous = false;
};

// Reads everything that the subscription object itself tells. `object` is a subscription in any API version.
Subscription read_subscription(const Json& object);

// A time that has certainly come where the subscription lives: whatever Stripe has done of it, it has done by
// then.
Seconds reached_by(const Subscription& subscription);

}  // namespace billing
