// subscription_cache: the derived state, stored for readers.
#pragma once

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
};
Computed compute(const std::string& user_id, const Settings& settings, Instant now);

// Raises where what is newest cannot be seen.
void refuse_snapshots();

// Computes and stores the states of these users, whose anchors are locked, and tells what is new of their
// access.
void store(const std::set<std::string>& users, const Settings& settings, Instant now,
           const notifications::Occasion& occasion = {});

}  // namespace billing::cache
