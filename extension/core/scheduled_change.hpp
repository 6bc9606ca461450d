// What is going to change about a subscription, as far as Stripe has told: shown, never applied. When it
// happens, the subscription's own event says so.
// https://docs.stripe.com/billing/subscriptions/subscription-schedules
#pragma once

#include <vector>

#include "core/json.hpp"
#include "core/subscription.hpp"

namespace billing {

// The next phase of a schedule that changes what is sold, or the end that follows its last phase; null when
// nothing is to come:
//   {"effective_at", "action": "change" | "cancel", "source": "schedule", "price_id", "quantity", "items"}
Json change_by_schedule(const Json& schedule);

// An update that waits for its payment (pending_update of the subscription): the same with the source
// "pending_update", without a time at which it happens, but with `expires_at`. Null when there is none.
Json change_by_pending_update(const Json& subscription);

// What is sold from then on.
std::vector<SubscriptionItem> items_of_change(const Json& change);

}  // namespace billing
