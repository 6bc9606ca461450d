// What a user has now: read from subscriptions, grants, Stripe's summaries and what was set by hand.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/entitlement.hpp"
#include "core/usage_cap.hpp"
#include "settings.hpp"

namespace billing::holdings {

struct Found {
  std::shared_ptr<const Plans> plans;  // never null; what the rest points into
  Holdings holdings;
  Standing standing;
  Instant now = 0;  // the user's own time: what was asked about, or what a test clock shows
};
// Within a session. What is read for a decision about a locked row is read after the lock was taken.
Found read(const std::string& user_id, const Settings& settings, Instant now);
// The same for who only reads: plans from the cached state where it is valid at `now`.
Found read_stored(const std::string& user_id, const Settings& settings, Instant now);

// What is kept beside a state, of which `state` is the judgement.
std::string stored_text(const std::vector<Subscription>& subscriptions, const UserState& state,
                        const std::vector<AccessGrant>& grants, const Settings& settings);

}  // namespace billing::holdings
