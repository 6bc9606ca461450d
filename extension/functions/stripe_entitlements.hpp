// stripe_entitlements: what Stripe's own entitlement summaries allow.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "functions/work.hpp"

namespace billing::stripe_entitlements {

// Takes note of the summaries among these events, whose mirror rows are locked.
void follow(const std::vector<Work*>& works);

// The lookup keys in force of the user's customers.
std::set<std::string> read(const std::string& user_id, bool live);

}  // namespace billing::stripe_entitlements
