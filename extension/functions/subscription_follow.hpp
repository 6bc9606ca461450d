// How the users' subscriptions follow the mirror.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/scope.hpp"
#include "functions/mirror.hpp"
#include "functions/subscriptions.hpp"
#include "functions/work.hpp"

namespace billing::subscriptions {

struct Following {
  std::vector<const Work*> works;              // of linked users
  std::set<std::string> whole_customers;       // everything of these is looked at
  std::map<std::string, std::string> user_of;  // customers whose user is locked
  mirror::Snapshots brought;
};
// Returns the users of whom anything may have changed.
std::set<std::string> follow(const Following& following, const Scope& scope);

// As the event tells it, whatever the mirror has.
Owned told_by(const Work& work, const std::string& user_id);

}  // namespace billing::subscriptions
