// What changed of a user's access since it was last told of.
#include <algorithm>

#include "core/notification.hpp"

namespace billing {
namespace {

// As Stripe tells of it:
// https://docs.stripe.com/api/events/types#event_types-customer.subscription.trial_will_end
constexpr Seconds kTrialWarning = 3 * 86400;

// "price_a x 1, price_b x 3" of the subscription that stands for the user.
std::string items_of(const Json& state) {
  const Json& id = at(state, "stripe_subscription_id");
  std::string items;
  for (const Json& one : list_of(state, "subscriptions")) {
    if (id.is_null() || at(one, "stripe_subscription_id") != id) continue;
    for (const Json& item : list_of(one, "items"))
      items += (items.empty() ? "" : ", ") + text_of(item, "price_id").value_or("") + " x " +
               std::to_string(integer_of(item, "quantity").value_or(1));
  }
  return items;
}

// What is compared, and shown as what was before. Only access that ends by decision has an end here: one that
// renews moves its end each time.
Json access_of(const Json& state) {
  Json access = {{"has_access", at(state, "has_access")}};
  if (!flag_of(state, "has_access")) return access;
  access["plan"] = at(state, "plan");
  access["price_id"] = at(state, "price_id");
  access["quantity"] = at(state, "quantity");
  access["items"] = items_of(state);
  access["ends_at"] = at(state, "state") == "canceled" ? at(state, "ends_at") : Json(nullptr);
  return access;
}

// Seconds at which the access that stands for the user began.
Seconds began(const UserState& user, const std::vector<Subscription>& subscriptions,
              const std::vector<AccessGrant>& grants) {
  if (user.grant) return grants[*user.grant].since;
  if (user.primary) return subscriptions[*user.primary].created.value_or(0);
  return 0;
}

// Whether somebody of whom nothing was known had access, from before `since` to some time after it.
bool lost_since(const UserState& user, const std::vector<Subscription>& subscriptions, Seconds since) {
  if (!user.primary) return false;
  const Subscription& primary = subscriptions[*user.primary];
  return primary.status == "canceled" && primary.ended_at.value_or(0) >= since &&
         primary.created.value_or(kLastSecond) < since;
}

class AccessTeller {
 public:
  AccessTeller(const Json& told, const Json& state) : state_(state), news_{} {
    now_ = access_of(state);
    before_ = at(told, "access");
    count_ = integer_of(told, "count").value_or(0);
    news_.told = told.is_object() ? told : Json::object();
    news_.told["access"] = now_;
  }

  AccessNews run(const UserState& user, const std::vector<Subscription>& subscriptions, Instant now,
                 std::optional<Instant> clock_time, const std::function<bool()>& is_new,
                 const std::function<bool()>& is_over) {
    // Of somebody without anything nothing is known, neither that there was no access before.
    if (before_.is_null() && !user.primary && !user.grant) {
      news_.told.erase("access");
      if (news_.told.empty()) news_.told = nullptr;
      return std::move(news_);
    }
    compare(is_new, is_over);
    warn_of_trials(user, subscriptions, now, clock_time);
    news_.told["count"] = count_;
    return std::move(news_);
  }

 private:
  void compare(const std::function<bool()>& is_new, const std::function<bool()>& is_over) {
    const bool access = flag_of(now_, "has_access");
    const bool had = flag_of(before_, "has_access");
    if (access && !had) {
      if (before_.is_object() || is_new()) tell("access_gained");
    } else if (!access && (had || (before_.is_null() && is_over()))) {
      tell("access_lost");
    } else if (access && had) {
      bool changed = false;
      for (const char* what : {"plan", "price_id", "quantity", "items"})
        changed = changed || at(now_, what) != at(before_, what);
      const bool end_moved = at(now_, "ends_at") != at(before_, "ends_at");
      if (changed || (end_moved && now_["ends_at"].is_null())) tell("access_changed");
      if (end_moved && !now_["ends_at"].is_null()) tell("access_ending");
    }
  }

  void tell(const char* kind) {
    const std::string subject = text_of(state_, "stripe_subscription_id").value_or("-");
    Notice notice{kind, std::string(kind) + ":" + std::to_string(++count_) + ":" + subject, Json::object(), 0,
                  ""};
    notice.payload["sequence"] = count_;
    for (const char* key : {"state", "has_access", "plan", "price_id", "quantity", "reason", "next_step",
                            "access_until", "ends_at", "renews_at", "stripe_subscription_id"})
      notice.payload[key] = at(state_, key);
    notice.payload["before"] = before_.is_object() ? before_ : Json(nullptr);
    news_.notices.push_back(std::move(notice));
  }

  void warn_of_trials(const UserState& user, const std::vector<Subscription>& subscriptions, Instant now,
                      std::optional<Instant> clock_time) {
    Json& warned = news_.told["trials"];
    const Json before = warned.is_object() ? warned : Json::object();
    warned = Json::object();
    if (user.valid_until < kEndOfTime) news_.due = user.valid_until;
    for (std::size_t i = 0; i < subscriptions.size(); ++i) {
      const Subscription& subscription = subscriptions[i];
      if (subscription.status != "trialing" || !user.each[i].has_access || !subscription.trial_end) continue;
      const Seconds end = *subscription.trial_end;
      // A test clock stands still: whoever advances it has everything looked at anew.
      const bool frozen = clock_time && !subscription.test_clock.empty();
      const Instant here = frozen ? *clock_time : now;
      if (instant(end) <= here) continue;
      if (at(before, subscription.id.c_str()) == Json(end)) {
        warned[subscription.id] = end;
      } else if (const Instant warning = instant(later_by(end, -kTrialWarning)); warning > here) {
        if (!frozen) news_.due = std::min(news_.due.value_or(kEndOfTime), warning);
      } else {
        warned[subscription.id] = end;
        warn(subscription, user.each[i], end);
      }
    }
    if (warned.empty()) news_.told.erase("trials");
  }

  void warn(const Subscription& subscription, const SubscriptionState& judged, Seconds end) {
    Notice notice{"trial_ending", "trial_ending:" + subscription.id + ":" + std::to_string(end),
                  Json::object(), 0, ""};
    notice.payload["stripe_subscription_id"] = subscription.id;
    notice.payload["trial_end"] = iso_time(end);
    notice.payload["plan"] = judged.plan.empty() ? Json(nullptr) : Json(judged.plan);
    const std::string price = subscription.items.empty() ? "" : subscription.items.front().price_id;
    notice.payload["price_id"] = price.empty() ? Json(nullptr) : Json(price);
    notice.payload["will_renew"] = !subscription.cancel_at_period_end && !subscription.cancel_at;
    news_.notices.push_back(std::move(notice));
  }

  const Json& state_;
  Json now_, before_;
  std::int64_t count_ = 0;
  AccessNews news_;
};

}  // namespace

AccessNews access_news(const Json& told, const Json& state, const UserState& user,
                       const std::vector<Subscription>& subscriptions, const std::vector<AccessGrant>& grants,
                       Instant now, const std::function<Seconds()>& since,
                       std::optional<Instant> clock_time) {
  const auto is_new = [&] { return began(user, subscriptions, grants) >= since(); };
  const auto is_over = [&] { return lost_since(user, subscriptions, since()); };
  return AccessTeller(told, state).run(user, subscriptions, now, clock_time, is_new, is_over);
}

}  // namespace billing
