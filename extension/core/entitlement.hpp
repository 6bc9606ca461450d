// What a user is entitled to: pure, from the plans that give access, Stripe's own entitlements, and what was
// set for the user by hand. docs/entitlements.md is the model.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/plan_catalogue.hpp"
#include "core/usage_window.hpp"

namespace billing {

struct BillingPeriod {
  Seconds start = 0;
  Seconds end = 0;
  bool operator==(const BillingPeriod&) const = default;
};

// A plan that the user has now, and by what.
struct HeldPlan {
  enum class Via { subscription, grant, default_plan } via = Via::subscription;
  const Plan* plan = nullptr;
  std::int64_t quantity = 1;
  std::optional<BillingPeriod> period{};  // of the subscription
};

// Set for one user by hand: stands for whatever plans say.
struct UserSetting {
  std::optional<Feature> feature;  // none: removed
};

struct Holdings {
  std::vector<HeldPlan> plans;                 // without the default plan, unless it was bought; newest first
  const Plan* default_plan = nullptr;          // counts when none of them is more than an add-on
  std::set<std::string> stripe_features;       // lookup keys of active entitlements
  std::map<std::string, UserSetting> by_hand;  // in force now, by feature
};

struct Entitlement {
  bool given = false;
  bool removed = false;  // by hand
  // What is given: seats are multiplied in, add-ons are added.
  Feature feature;
  std::vector<std::string> sources;  // the one that decides first: "plan:pro", "addon:more", "default:free",
                                     // "grant:pro", "stripe", "user"
  std::optional<BillingPeriod> period;
};

// Plans before add-ons, and of each the one that counts first before the others; the default plan where it
// counts.
std::vector<HeldPlan> held_in_order(const Holdings& holdings);

Entitlement resolve(const std::string& feature, const Holdings& holdings);

// Every feature that a plan of the catalogue or the holdings name.
std::set<std::string> feature_names(const Holdings& holdings, const Plans& plans);

// Whether it is counted when it is used: a limit, or metered.
bool is_counted(const Feature& feature);

// The window that a use at `now` is counted in. A period without a subscription is the calendar's month.
UsageWindow window_of(const Entitlement& entitlement, const std::string& zone, const OffsetAt& offset_at,
                      Instant now);

}  // namespace billing
