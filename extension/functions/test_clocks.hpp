// Test clocks, and the users who live by them. What the clocks show is part of what settings() keeps.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/test_clock.hpp"
#include "functions/mirror.hpp"
#include "functions/work.hpp"
#include "settings.hpp"

namespace billing::test_clocks {

// The clocks that anything has told of or named, for settings(). Needs no right on the mirror.
std::shared_ptr<const TestClocks> load(Oid schema);

// The users' own times: the latest of the clocks that customers of theirs are on. Whoever is not among them
// lives in real time. Needs no right on the mirror either.
std::map<std::string, Instant> times(const std::set<std::string>& users, const AccessRules& rules);
// The user's own time, or else `now`.
Instant time_of(const std::string& user_id, const AccessRules& rules, Instant now);

// The clocks that these events name.
std::set<mirror::Key> named_by(const std::vector<Work*>& works);

// What the mirror says by now of the clocks that these events tell of, or are the first to name. Returns
// those that say something new.
std::set<std::string> learn(const std::vector<Work*>& works, Settings& settings);
// Outdates every cached state, and stores those of the users on these clocks anew, as far as nobody holds
// them (the others' are computed when they are read). To be called late, because those who change settings
// wait from here on.
void announce(const std::set<std::string>& moved, const Settings& settings, Instant now);

}  // namespace billing::test_clocks
