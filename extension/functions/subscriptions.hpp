// user_subscriptions: the domain rows that follow the mirror.
#pragma once

#include <map>
#include <optional>
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

// Writes the rows as they are now; equal rows are left untouched. The users' anchors are locked. Returns the
// users whose rows were not as they are now.
std::set<std::string> store(const std::vector<Owned>& rows);

std::vector<std::string> ids_of(const std::string& user_id);

// Until when a row says that it is paid for, or null; nothing when there is no row.
std::optional<std::optional<Seconds>> find_paid_through(const std::string& user_id, const std::string& id);
// The same column of rows that are there.
struct Paid {
  std::string user_id;
  std::string id;
  std::optional<Seconds> through;
};
void store_paid_through(const std::vector<Paid>& rows);

// Every subscription of each of these users in one mode; users without any are absent.
std::map<std::string, std::vector<Subscription>> read(const std::set<std::string>& users, bool live);
std::vector<Subscription> read(const std::string& user_id, bool live);

}  // namespace billing::subscriptions
