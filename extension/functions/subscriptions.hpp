// user_subscriptions: the domain rows that follow the mirror.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/subscription.hpp"

namespace billing::subscriptions {

struct Owned {
  std::string user_id;
  Subscription subscription;
};
// The items as rows keep them.
Json items_json(const Subscription& subscription);
std::vector<SubscriptionItem> items_from(const Json& items);

// Writes the rows as they are now; equal rows are left untouched. The users' anchors are locked.
void store(const std::vector<Owned>& rows);

// Every subscription of each of these users in one mode; users without any are absent.
std::map<std::string, std::vector<Subscription>> read(const std::set<std::string>& users, bool live);

}  // namespace billing::subscriptions
