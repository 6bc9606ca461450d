// When to tell that an account's credits are low. Pure.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "core/credit_account.hpp"

namespace billing::credits {

// "100, 10" ascending and without repetitions; nothing when it is not such a list, or has more than 20.
std::optional<std::vector<Amount>> parse_thresholds(std::string_view text);

// Takes note of what a change has made of the balance. A threshold is told of when the balance falls to it
// from above; of several only the lowest. It is armed again when a grant lifts the balance above it: not when
// a refund does, which would tell of one piece of work again and again. Returns the one to tell of.
std::optional<Amount> note_balance(Account& account, const std::vector<Amount>& thresholds);

}  // namespace billing::credits
