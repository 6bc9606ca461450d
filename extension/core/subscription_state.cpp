#include "core/subscription_state.hpp"

#include <algorithm>
#include <array>
#include <compare>
#include <tuple>

#include "core/scheduled_change.hpp"

namespace billing {
namespace {

// The only way in which the rules look at the time. Every question narrows the window within which all
// answers stay the same, so whatever is decided from the answers alone holds for the whole window.
class Clock {
 public:
  explicit Clock(Instant now) : now_(now) {}

  bool reached(Seconds time) {
    const Instant limit = instant(time);
    if (limit <= now_) {
      from_ = std::max(from_, limit);
      return true;
    }
    until_ = std::min(until_, limit);
    return false;
  }
  Instant from() const { return from_; }
  Instant until() const { return until_; }

 private:
  Instant now_;
  Instant from_ = kBeginningOfTime;
  Instant until_ = kEndOfTime;
};

bool is_ending(const Subscription& subscription) {
  return subscription.cancel_at_period_end || subscription.cancel_at.has_value();
}

bool is_trialing(const Subscription& subscription) { return subscription.status == "trialing"; }

// Until when the subscription is known to run.
std::optional<Seconds> known_end(const Subscription& subscription) {
  if (is_trialing(subscription) && subscription.trial_end) return subscription.trial_end;
  return subscription.period_end;
}

// When the next charge is due: the end of a trial, or the soonest end over the items.
std::optional<Seconds> renewal(const Subscription& subscription) {
  if (is_trialing(subscription) || !subscription.next_renewal) return known_end(subscription);
  return subscription.next_renewal;
}

std::optional<Seconds> decided_end(const Subscription& subscription) {
  if (!is_ending(subscription)) return std::nullopt;
  return subscription.cancel_at ? subscription.cancel_at : known_end(subscription);
}

SubscriptionState with_access(std::string state, std::string reason, std::string next_step = "") {
  SubscriptionState result;
  result.state = std::move(state);
  result.has_access = true;
  result.reason = std::move(reason);
  result.next_step = std::move(next_step);
  return result;
}

SubscriptionState without_access(std::string state, std::string reason, std::string next_step) {
  SubscriptionState result = with_access(std::move(state), std::move(reason), std::move(next_step));
  result.has_access = false;
  return result;
}

SubscriptionState ended(std::optional<Seconds> end) {
  SubscriptionState result = without_access("expired", "subscription_ended", "subscribe");
  result.ends_at = end;
  return result;
}

// Status active or trialing, and the end is decided: nothing is waited for, so there is no slack.
SubscriptionState judge_ending(const Subscription& subscription, Clock& clock) {
  const std::optional<Seconds> end = decided_end(subscription);
  if (end && clock.reached(*end)) return ended(end);
  SubscriptionState result = with_access("canceled", "cancellation_scheduled", "resume_subscription");
  result.ends_at = end;
  result.access_until = end;
  // A cancellation further ahead than the current period: it renews until then.
  const std::optional<Seconds> next = renewal(subscription);
  if (next && end && *next < *end) result.renews_at = next;
  return result;
}

SubscriptionState judge_running(const Subscription& subscription, const AccessRules& rules, Clock& clock) {
  SubscriptionState result = with_access(subscription.status, subscription.status);
  result.renews_at = renewal(subscription);
  const std::optional<Seconds> end = known_end(subscription);
  if (!end) return result;
  const Seconds slack_end = later_by(*end, rules.renewal_slack);
  result.access_until = slack_end;
  if (!clock.reached(*end)) return result;
  result.stale = true;
  result.reason = "awaiting_renewal";
  if (!clock.reached(slack_end)) return result;
  result = without_access("expired", "renewal_not_confirmed", "refetch_subscription");
  result.stale = true;
  result.live = true;  // at Stripe it probably goes on: a second purchase would charge twice
  return result;
}

SubscriptionState judge_past_due(const Subscription& subscription, const AccessRules& rules, Clock& clock) {
  const std::optional<Seconds> end = decided_end(subscription);
  if (end && clock.reached(*end)) return ended(end);
  const Seconds unpaid_since = subscription.period_start.value_or(subscription.event_created);
  const Seconds grace_end = later_by(unpaid_since, rules.past_due_grace);
  SubscriptionState result;
  if (clock.reached(grace_end)) {
    result = without_access("past_due", "past_due_grace_over", "update_payment_method");
  } else {
    result = with_access("past_due", "payment_past_due", "update_payment_method");
    result.access_until = end ? std::min(grace_end, *end) : grace_end;
  }
  result.ends_at = end;
  return result;
}

// Status canceled: Stripe has ended it, at once or at its time.
SubscriptionState judge_canceled(const Subscription& subscription, const AccessRules& rules, Clock& clock) {
  Seconds end = subscription.ended_at.value_or(subscription.canceled_at.value_or(subscription.event_created));
  const char* reason = "cancellation_scheduled";
  if (rules.canceled_until_paid_through && subscription.paid_through.value_or(end) > end) {
    end = *subscription.paid_through;
    reason = "paid_through";
  }
  if (clock.reached(end)) return ended(end);
  SubscriptionState result = with_access("canceled", reason);
  result.ends_at = end;
  result.access_until = end;
  return result;
}

SubscriptionState judge_status(const Subscription& subscription, const AccessRules& rules, Clock& clock) {
  if (subscription.customer_deleted) return without_access("expired", "customer_deleted", "subscribe");
  const std::string& status = subscription.status;
  if (status == "active" || status == "trialing") {
    return is_ending(subscription) ? judge_ending(subscription, clock)
                                   : judge_running(subscription, rules, clock);
  }
  if (status == "past_due") return judge_past_due(subscription, rules, clock);
  if (status == "canceled") return judge_canceled(subscription, rules, clock);
  if (status == "incomplete_expired") return without_access("expired", "incomplete_expired", "subscribe");

  SubscriptionState result;
  if (status == "incomplete") {
    result = without_access("incomplete", "payment_incomplete", "complete_payment");
  } else if (status == "unpaid") {
    result = without_access("unpaid", "payment_failed", "update_payment_method");
  } else if (status == "paused") {
    result = without_access("paused", "subscription_paused", "resume_subscription");
  } else {
    result = without_access("incomplete", "unknown_status", "contact_support");
  }
  result.ends_at = decided_end(subscription);
  return result;
}

bool is_live(const std::string& state) {
  constexpr std::array<std::string_view, 6> kLive = {"trialing", "active", "past_due",
                                                     "unpaid",   "paused", "canceled"};
  return std::find(kLive.begin(), kLive.end(), state) != kLive.end();
}

// Once there are plans, what is paid for must be one of them. The subscription itself stays what it is.
void judge_plan(const Subscription& subscription, const AccessRules& rules, SubscriptionState& result) {
  if (!rules.plans) return;
  if (const Plan* plan = rules.plans->plan_of(subscription)) {
    result.plan = plan->id;
    result.weight = weight(*plan);
  } else if (result.has_access && !rules.unmapped_price_access) {
    result.has_access = false;
    result.reason = "unmapped_price";
    result.next_step = "map_price";
    result.access_until.reset();
  }
}

const TestClock* clock_of(const Subscription& subscription, const AccessRules& rules) {
  if (!rules.clocks || subscription.test_clock.empty()) return nullptr;
  const auto found = rules.clocks->find(subscription.test_clock);
  return found == rules.clocks->end() ? nullptr : &found->second;
}

// Either it happens at a time, or it waits for its payment until a time.
void judge_change(const Subscription& subscription, const AccessRules& rules, Clock& clock,
                  SubscriptionState& result) {
  const Json& change = subscription.scheduled_change;
  std::optional<std::string> until = text_of(change, "effective_at");
  if (!until) until = text_of(change, "expires_at");
  const std::optional<Seconds> time = until ? parse_iso_time(*until) : std::nullopt;
  result.change_pending = time && !clock.reached(*time);
  if (!result.change_pending || !rules.plans) return;
  Subscription then;
  then.account = subscription.account;
  then.livemode = subscription.livemode;
  then.items = items_of_change(change);
  if (const Plan* plan = rules.plans->plan_of(then)) result.coming_plan = plan->id;
}

SubscriptionState judge_by(const Subscription& subscription, const AccessRules& rules, Clock& clock) {
  SubscriptionState result = judge_status(subscription, rules, clock);
  result.live = result.live || is_live(result.state);
  judge_plan(subscription, rules, result);
  judge_change(subscription, rules, clock, result);
  result.collection_paused =
      !subscription.pause_behavior.empty() &&
      !(subscription.pause_resumes_at && clock.reached(*subscription.pause_resumes_at));
  return result;
}

// A test clock stands still: while it does, time changes nothing, and the window that `clock` narrows stays
// as it is. Whoever deletes a clock deletes its customers.
SubscriptionState judge_at(const Subscription& subscription, const AccessRules& rules, Clock& clock) {
  const TestClock* frozen = clock_of(subscription, rules);
  if (frozen == nullptr) return judge_by(subscription, rules, clock);
  const Seconds time = shown_by(*frozen, reached_by(subscription));
  Clock standing(instant(time));
  Subscription judged = subscription;
  judged.customer_deleted = judged.customer_deleted || frozen->deleted;
  SubscriptionState result = judge_by(judged, rules, standing);
  result.frozen_time = time;
  return result;
}

SubscriptionState no_subscription() {
  return without_access("no_subscription", "no_subscription", "subscribe");
}

SubscriptionState judge_at(const AccessGrant& grant, const AccessRules& rules, Clock& clock) {
  const Plan* plan = rules.plans ? rules.plans->find(grant.plan) : nullptr;
  // A grant that was taken back ended then, wherever its end was to be.
  std::optional<Seconds> end = grant.until;
  if (grant.revoked) end = std::min(end.value_or(*grant.revoked), *grant.revoked);
  const bool begun = clock.reached(grant.since);
  const bool over = end && clock.reached(*end);
  SubscriptionState result;
  if (!begun || over || plan == nullptr)
    result = without_access("expired", "grant_ended", "subscribe");
  else if (plan->is_addon)
    result = without_access("active", "granted_addon", "");
  else
    result = with_access("active", "granted_access");
  if (result.has_access) result.access_until = end;
  result.ends_at = end;
  result.plan = grant.plan;
  if (plan != nullptr) result.weight = weight(*plan);
  return result;
}

// Empty means that at least one source of access has no known end.
std::optional<Seconds> end_of_union(const UserState& user) {
  std::optional<Seconds> latest;
  for (const std::vector<SubscriptionState>* sources : {&user.each, &user.granted}) {
    for (const SubscriptionState& one : *sources) {
      if (!one.has_access) continue;
      if (!one.access_until) return std::nullopt;
      latest = std::max(latest.value_or(*one.access_until), *one.access_until);
    }
  }
  return latest;
}

std::weak_ordering compare(const SubscriptionState& a, const SubscriptionState& b) {
  if (a.has_access != b.has_access) return a.has_access <=> b.has_access;
  return a.has_access ? a.weight <=> b.weight : std::strong_ordering::equal;
}

}  // namespace

bool is_newer(const Subscription& a, const Subscription& b) {
  return std::tie(a.created, a.id) > std::tie(b.created, b.id);
}

SubscriptionState judge(const Subscription& subscription, const AccessRules& rules, Instant now) {
  Clock clock(now);
  return judge_at(subscription, rules, clock);
}

SubscriptionState judge_grant(const AccessGrant& grant, const AccessRules& rules, Instant now) {
  Clock clock(now);
  return judge_at(grant, rules, clock);
}

UserState judge_user(const std::vector<Subscription>& subscriptions, const AccessRules& rules, Instant now,
                     const std::vector<AccessGrant>& grants, bool awaited) {
  Clock clock(now);
  UserState user;
  user.planned = rules.plans != nullptr;
  bool blocked = false;
  for (std::size_t i = 0; i < subscriptions.size(); ++i) {
    const Subscription& subscription = subscriptions[i];
    user.each.push_back(judge_at(subscription, rules, clock));
    blocked = blocked || (user.each[i].live && !(rules.plans && is_free_plan(subscription, *rules.plans)));
    user.ambiguous = user.ambiguous || subscription.ambiguous;
    const auto order =
        user.primary ? compare(user.each[i], user.each[*user.primary]) : std::weak_ordering::greater;
    if (order > 0 || (order == 0 && is_newer(subscription, subscriptions[*user.primary]))) user.primary = i;
  }
  user.effective = user.primary ? user.each[*user.primary] : no_subscription();
  for (std::size_t i = 0; i < grants.size(); ++i) {
    user.granted.push_back(judge_at(grants[i], rules, clock));
    user.granted_why.push_back(grants[i].reason);
    if (!user.granted[i].has_access || compare(user.granted[i], user.effective) <= 0) continue;
    user.grant = i;
    user.effective = user.granted[i];
  }
  // What to do about a subscription that runs comes first.
  if (awaited && !user.effective.has_access && !user.effective.live) {
    user.effective.reason = "subscription_awaited";
    user.effective.next_step = "refetch_subscription";
  }
  user.access_until = end_of_union(user);
  user.can_purchase = rules.accept_payments && !blocked && !awaited;
  user.valid_from = clock.from();
  user.valid_until = clock.until();
  return user;
}

}  // namespace billing
