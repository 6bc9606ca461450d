// What an application may want to tell people, from what Stripe's objects say. Pure: docs/notifications.md
// has the promises.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/event.hpp"
#include "core/payment.hpp"
#include "core/subscription.hpp"
#include "core/subscription_state.hpp"

namespace billing {

struct Notice {
  std::string kind;
  std::string key;  // natural key: the same thing has the same one, whichever event tells of it
  Json payload;
  Seconds at = 0;       // when it happened
  std::string told_by;  // the id of the object that tells of it
};

// What is this much older than the event that tells of it is no news.
inline constexpr Seconds kNews = 30 * 86400;

// Of an invoice's event: that it was paid (by money: what cost nothing was not paid), or that an attempt to
// pay it failed. Of other events nothing.
std::vector<Notice> invoice_notices(const Event& event);

// The event that brings an object of a payment: nothing when none does.
struct Bringer {
  Seconds created = 0;
  bool tells_itself = true;  // false: it only says whose the payment is
};
using Brought = std::function<std::optional<Bringer>(const std::string& id)>;
// Of one payment: that it was paid or failed, unless it is an invoice's, whose events tell that; and each
// refund and dispute that an event brings.
std::vector<Notice> payment_notices(const std::string& payment_id, const Payment& payment,
                                    const PaymentSources& sources, const Brought& brought);

// What was told of a user's access, and what it is now.
struct AccessNews {
  std::vector<Notice> notices;
  Json told;                   // to be kept: what is told now
  std::optional<Instant> due;  // when time alone may make more news
};
// `told` is what an earlier call gave; null when nothing was ever told, and then gaining access is news only
// if it began at or after `since`. `clock_time` is what the user's test clock shows, if there is one.
AccessNews access_news(const Json& told, const Json& state, const UserState& user,
                       const std::vector<Subscription>& subscriptions, const std::vector<AccessGrant>& grants,
                       Instant now, const std::function<Seconds()>& since,
                       std::optional<Instant> clock_time = {});

}  // namespace billing
