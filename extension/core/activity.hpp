// What an event means to people: the line it leaves in audit_logs and in the worker's log.
#pragma once

#include <optional>
#include <string>

#include "core/event.hpp"

namespace billing {

// A pure function of the event alone, so that every order of arrival leaves the same lines.
struct Activity {
  std::string action;   // subscription_activated, subscription_updated, subscription_canceled,
                        // subscription_ended, payment_succeeded, payment_failed, trial_will_end, ...
  std::string subject;  // the object that it happened to: sub_..., in_...
  bool once = false;    // a fact that several events may tell (invoice.paid, invoice.payment_succeeded)
  Json details;         // small facts worth keeping: status, amount, currency, price
};
std::optional<Activity> activity_of(const Event& event);

}  // namespace billing
