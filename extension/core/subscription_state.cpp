#include "core/subscription_state.hpp"

#include <algorithm>
#include <array>
#include <tuple>

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

SubscriptionState judge_at(const Subscription& subscription, const AccessRules& rules, Clock& clock) {
  SubscriptionState result = judge_status(subscription, rules, clock);
  result.live = is_live(result.state);
  if (const auto effective_at = text_of(subscription.scheduled_change, "effective_at")) {
    const std::optional<Seconds> time = parse_iso_time(*effective_at);
    result.change_pending = time && !clock.reached(*time);
  }
  result.collection_paused =
      !subscription.pause_behavior.empty() &&
      !(subscription.pause_resumes_at && clock.reached(*subscription.pause_resumes_at));
  return result;
}

SubscriptionState no_subscription() {
  return without_access("no_subscription", "no_subscription", "subscribe");
}

// Empty means that at least one source of access has no known end.
std::optional<Seconds> end_of_union(const std::vector<SubscriptionState>& each) {
  std::optional<Seconds> latest;
  for (const SubscriptionState& one : each) {
    if (!one.has_access) continue;
    if (!one.access_until) return std::nullopt;
    latest = std::max(latest.value_or(*one.access_until), *one.access_until);
  }
  return latest;
}

}  // namespace

bool is_newer(const Subscription& a, const Subscription& b) {
  return std::tie(a.created, a.id) > std::tie(b.created, b.id);
}

SubscriptionState judge(const Subscription& subscription, const AccessRules& rules, Instant now) {
  Clock clock(now);
  return judge_at(subscription, rules, clock);
}

UserState judge_user(const std::vector<Subscription>& subscriptions, const AccessRules& rules, Instant now) {
  Clock clock(now);
  UserState user;
  bool any_live = false;
  for (const Subscription& subscription : subscriptions) {
    user.each.push_back(judge_at(subscription, rules, clock));
    const std::size_t index = user.each.size() - 1;
    any_live = any_live || user.each[index].live;
    user.ambiguous = user.ambiguous || subscription.ambiguous;
    if (!user.primary) {
      user.primary = index;
      continue;
    }
    const bool has_access = user.each[index].has_access;
    const bool primary_has = user.each[*user.primary].has_access;
    if (has_access != primary_has ? has_access : is_newer(subscription, subscriptions[*user.primary])) {
      user.primary = index;
    }
  }
  user.effective = user.primary ? user.each[*user.primary] : no_subscription();
  user.access_until = end_of_union(user.each);
  user.can_purchase = rules.accept_payments && !any_live;
  user.valid_from = clock.from();
  user.valid_until = clock.until();
  return user;
}

}  // namespace billing
