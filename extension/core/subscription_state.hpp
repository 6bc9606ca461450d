// The state of a user at an instant: pure, from the user's subscriptions and the rules in force.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/instant.hpp"
#include "core/json.hpp"
#include "core/plan_catalogue.hpp"
#include "core/subscription.hpp"
#include "core/test_clock.hpp"

namespace billing {

struct AccessRules {
  Seconds past_due_grace = 7 * 86400;
  Seconds renewal_slack = 3 * 86400;
  bool canceled_until_paid_through = false;  // billing.canceled_access = 'paid_through'
  bool accept_payments = true;
  bool unmapped_price_access = false;  // of a price that is mapped to no plan
  std::shared_ptr<const Plans> plans;  // null: there are none, and every price gives access
  // Null: there are none, or they don't count (in live mode, and where somebody asks about another instant).
  std::shared_ptr<const TestClocks> clocks;
  AccessRules without_clocks() const {
    AccessRules rules = *this;
    rules.clocks.reset();
    return rules;
  }
};

// One row of access_grants: access to a plan that no subscription pays.
struct AccessGrant {
  std::string plan;
  std::string reason;
  Seconds since = 0;
  std::optional<Seconds> until;
  std::optional<Seconds> revoked;
};

// One subscription, or one grant, judged at an instant.
struct SubscriptionState {
  std::string state;  // incomplete, trialing, active, past_due, unpaid, paused, canceled, expired
  bool has_access = false;
  std::string reason;                   // why access or none: a word from the table in docs/sql-reference.md
  std::string next_step;                // what to do about it; "" when nothing
  std::optional<Seconds> access_until;  // when access ends unless something more arrives
  std::optional<Seconds> renews_at;
  std::optional<Seconds> ends_at;
  bool stale = false;              // past its period, waiting for the renewal's webhook
  bool live = false;               // not over: another purchase would be a second subscription
  bool change_pending = false;     // scheduled_change lies in the future
  std::string coming_plan;         // the plan that it changes to; "" when it is mapped to none
  bool collection_paused = false;  // pause_collection is set, and its resumes_at not reached
  std::string plan;                // its id; "" when it is mapped to none
  PlanWeight weight;
  std::optional<Seconds> frozen_time;  // when it was judged, where its customer is on a test clock
};
// At `now`, or at the time of its customer's test clock.
SubscriptionState judge(const Subscription& subscription, const AccessRules& rules, Instant now);

// A grant gives the access of its plan from when it was made until its end; that of an add-on adds to a plan,
// and is no access by itself.
SubscriptionState judge_grant(const AccessGrant& grant, const AccessRules& rules, Instant now);

// The order in which subscriptions are shown, and preferred where access and plan are alike: newest first,
// then greatest id.
bool is_newer(const Subscription& a, const Subscription& b);

struct UserState {
  SubscriptionState effective;          // of what stands for the user; no_subscription when there is nothing
  std::optional<std::size_t> primary;   // the primary subscription: index into the vector handed in
  std::optional<std::size_t> grant;     // the grant that stands for the user before any subscription
  std::vector<SubscriptionState> each;  // of the subscriptions, in the order handed in
  std::vector<SubscriptionState> granted;  // of the grants, likewise
  std::vector<std::string> granted_why;    // their reasons
  std::optional<Seconds> access_until;     // over the union
  bool ambiguous = false;
  bool can_purchase = false;
  bool planned = false;  // there are plans
  // Time alone does not change this state within [valid_from, valid_until).
  Instant valid_from = kBeginningOfTime;
  Instant valid_until = kEndOfTime;
};
// `awaited`: a checkout was completed for a subscription that is not among these, because nothing was told of
// it yet.
UserState judge_user(const std::vector<Subscription>& subscriptions, const AccessRules& rules, Instant now,
                     const std::vector<AccessGrant>& grants = {}, bool awaited = false);

// An item as people and programs see it, in states and in user_subscriptions.items.
Json item_json(const SubscriptionItem& item);

// The jsonb of get_user_subscription_state, without cached, cached_at, expires_at and credits.
// Times are ISO 8601 in UTC ("2026-01-31T10:00:00+00:00").
Json state_json(const std::string& user_id, const std::vector<Subscription>& subscriptions,
                const UserState& state);

}  // namespace billing
