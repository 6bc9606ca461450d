// What plans give a user, kept beside the cached state and valid as long as that is.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/entitlement.hpp"
#include "core/usage_cap.hpp"

namespace billing::stored_holdings {

// Plans only: what Stripe's summaries and people say is read each time.
std::string to_text(const Holdings& holdings, const Standing& standing);

struct Known {
  std::vector<HeldPlan> plans;
  Standing standing;
};
// None when the text is not one of ours, or names a plan that is not among these.
std::optional<Known> from_text(std::string_view text, const Plans& plans);

}  // namespace billing::stored_holdings
