// subscription_cache: the derived state, stored for readers.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "core/json.hpp"
#include "core/subscription_state.hpp"
#include "functions/notifications.hpp"
#include "settings.hpp"

namespace billing::cache {

// A state as a reader gets it, and how long it holds.
struct Computed {
  UserState state;
  std::string status;
  Json json;
  std::optional<Instant> frozen_time;  // the user's own time, where a test clock decides it
};
// Now: whoever is on a test clock is judged at its time.
Computed compute(const std::string& user_id, const Settings& settings, Instant now);
// At the instant that somebody asks about, whatever clocks show.
Computed compute_at(const std::string& user_id, const Settings& settings, Instant as_of);

// Raises where what is newest cannot be seen.
void refuse_snapshots();

// Of these users, those in `changed` and those whose stored state does not stand any more, or of whose access
// there is something to be told.
std::set<std::string> outdated(const std::set<std::string>& users, const std::set<std::string>& changed,
                               const Settings& settings, Instant now);

// Computes and stores the states of these users, whose anchors are locked, and tells what is new of their
// access.
void store(const std::set<std::string>& users, const Settings& settings, Instant now,
           const notifications::Occasion& occasion = {});

}  // namespace billing::cache
