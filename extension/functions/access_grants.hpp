// access_grants: access to plans that somebody gave.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/subscription_state.hpp"
#include "functions/notifications.hpp"

namespace billing::access_grants {

// Those of each of these users, by plan; users without any are absent.
std::map<std::string, std::vector<AccessGrant>> read(const std::set<std::string>& users);
std::vector<AccessGrant> read(const std::string& user_id);
// With what was told of these users' access.
std::map<std::string, std::vector<AccessGrant>> read(const std::set<std::string>& users,
                                                     std::map<std::string, notifications::Anchor>& anchors);

}  // namespace billing::access_grants
