// awaited_subscriptions: what completed checkouts bought and no event has told of yet.
#pragma once

#include <map>
#include <set>
#include <string>

#include "core/event.hpp"
#include "core/scope.hpp"
#include "functions/subscriptions.hpp"

namespace billing::awaited {

// A checkout session that may have bought a subscription.
bool may_buy(const Event& event);

// The rows of these customers, with the user of each, as the mirror and user_subscriptions have them now.
void follow(const std::map<std::string, std::string>& user_of, const Scope& scope);
// These are told of.
void settle(const std::vector<subscriptions::Owned>& told);

// Those of these users who wait for one.
std::set<std::string> read(const std::set<std::string>& users, bool live);
bool read(const std::string& user_id, bool live);

}  // namespace billing::awaited
