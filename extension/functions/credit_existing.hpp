// The grants that users have of Stripe's objects.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/credit_plan.hpp"

namespace billing::credits::follow {

struct Existing {
  std::int64_t id = 0;
  std::string key;
  std::string invoice_id;   // or the checkout session's
  std::string customer_id;  // "" when it is not told
  std::string source;
  Terms terms;
  Amount amount = 0;
  Amount reversed = 0;
  ReversalTarget target;  // as it stands; debt_limit = what became debt
  Instant cycle_start = 0;
  Amount full = 0;  // what it would have been without other invoices
};
using ExistingGrants = std::map<std::string, std::vector<Existing>>;  // by user, in the order they were made

ExistingGrants read_existing(const std::set<std::string>& users);

// The invoice line that a key is of, without the number of its interval or addition.
std::string line_of(const std::string& key);

}  // namespace billing::credits::follow
