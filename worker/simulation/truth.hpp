// What is true at the end of a simulated history, told from the model and not from the events.
#pragma once

#include <vector>

#include "core/subscription_state.hpp"
#include "worker/simulation/account.hpp"

namespace billing::simulation {

// As the mirror would read them from the last snapshots, were all of them known and in order.
std::vector<billing::Subscription> true_subscriptions(const Account& account);

// {"user_id", "as_of", "state": what get_user_subscription_state(user_id, as_of) says,
//  "customers": [...], "subscriptions": [{"object": the last snapshot, "paid_through", ...}],
//  "credits": what true_credits says, "credits_granted": their sum, as far as it is told}
Json true_state(const Account& account, Seconds as_of);

// {"trial": credits, "in_...": credits of each paid invoice with whole periods}, refunds aside. Upgrades
// (prorations) are not told; null is an invoice that other periods may stand for in part, or that pays for
// months to come which a later change or a new period has ended.
Json true_credits(const Account& account);

// {"user_id", "stripe_customer_id"} of each customer whose user no event names.
std::vector<Json> missing_links(const Account& account);

}  // namespace billing::simulation
