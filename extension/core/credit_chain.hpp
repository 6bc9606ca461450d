// The grants of one key: a first one, and those that were added when more turned out to be due. What is due
// is decided by what Stripe's objects say in the end, not by what was known when the first one was made.
// Pure.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/credit_plan.hpp"

namespace billing::credits {

// The key of the n-th addition (1, 2...) to the grant of `key`, and the way back.
std::string more_key(const std::string& key, std::size_t n);
std::string first_key(const std::string& key);

// What each grant of a chain gives back, and what is still to be granted.
struct ChainTargets {
  std::vector<ReversalTarget> targets;  // in the order handed in
  Amount more = 0;
  ReversalTarget more_target;
};
// `amounts` is what each of them granted, in order; `due` what they should amount to before anything is paid
// back. What is paid back is the share that it would be of one grant of `due`; the newest give it first.
ChainTargets settle_chain(const std::vector<Amount>& amounts, Amount due, const Reversal& reversal,
                          DebtPolicy policy);

}  // namespace billing::credits
