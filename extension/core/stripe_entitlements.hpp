// Stripe's own entitlements of a customer. A summary carries ten at most and then says has_more: what a cut
// list leaves out is not gone. https://docs.stripe.com/billing/entitlements
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "core/json.hpp"

namespace billing {

inline constexpr const char* kEntitlementSummary = "entitlements.active_entitlement_summary";

// What the summaries of one customer have told so far; depends on their set, not on their order.
struct StripeEntitlements {
  std::optional<Seconds> whole_at;      // of the newest summary that was whole
  std::map<std::string, Seconds> seen;  // lookup key: newest summary that lists it; none older than whole_at
  bool operator==(const StripeEntitlements&) const = default;
};

// Adds what a summary, told of at `created`, says.
void fold_summary(StripeEntitlements& known, const Json& summary, Seconds created);

Json seen_json(const StripeEntitlements& known);
StripeEntitlements read_seen(std::optional<Seconds> whole_at, const Json& seen);

// The lookup keys in force, when `summary` is the newest one (the mirror's snapshot).
std::set<std::string> active_features(const StripeEntitlements& known, const Json& summary);

}  // namespace billing
