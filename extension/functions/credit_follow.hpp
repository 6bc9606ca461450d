// Credits follow the mirror: what Stripe's objects grant is granted once, and what is paid back is taken
// back.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "core/credit_plan.hpp"
#include "functions/mirror.hpp"
#include "functions/subscriptions.hpp"
#include "settings.hpp"

namespace billing::credits::follow {

// Something of a user that may have changed.
struct Subject {
  enum class Kind {
    invoice,   // by id
    checkout,  // a session, by id
    payments,  // refunds or disputes of whatever paid for this customer's grants
    customer,  // all of it
  } kind;
  std::string id;
  std::string user_id;
  std::string customer_id;
  auto operator<=>(const Subject&) const = default;
};

// A subscription as it began, with a trial: what it was by then does not depend on what else is known of it.
using Trial = subscriptions::Owned;

struct Touched {
  std::set<Subject> subjects;
  std::vector<Trial> trials;
  mirror::Snapshots brought;
};
// Brings these users' credits up to the mirror. Their links are locked. Returns the users whose account
// another transaction holds, for whom nothing was done; with `wait` it waits for them.
std::set<std::string> apply(const Touched& touched, const Settings& settings, bool wait);

// The key of the grant that a person made for an invoice: it stands for all that the invoice grants.
inline std::string manual_key(const std::string& invoice_id) { return invoice_id + ":manual"; }

}  // namespace billing::credits::follow
