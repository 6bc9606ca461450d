// stripe_customer_links and billing_users: the rows that everybody who writes locks first, in this order.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/customer_link.hpp"

namespace billing::links {

// Something that says whose a customer is. The strongest claim counts, and of those the earliest.
struct Claim {
  LinkEvidence evidence;
  Seconds created = 0;
  std::string event_id;  // "" for a person's decision

  bool operator<(const Claim& other) const;
};

struct Link {
  std::optional<std::string> user_id;
  Claim claim;            // what binds it
  bool conflict = false;  // another user is recorded already
  std::optional<Instant> imported_at;
  bool erased = false;  // of a user who was erased: what comes of it is redacted
};

// Locks the links of these customers in bytewise order, adding placeholders where there are none. With `wait`
// false, links that another transaction holds are left out of the result.
std::map<std::string, Link> lock(const std::set<std::string>& customers, bool wait);

// What a user is called now, who may have been renamed, or merged into another.
std::string current_name(const std::string& user_id);
// The same for whom locked links and claims name; the links follow.
void follow_names(std::map<std::string, Link>& locked, std::vector<std::pair<std::string, Claim>>& claims);

// Binds a locked link, or lets a stronger claim for the same user stand for it.
void bind(const std::string& customer, const Claim& claim, const std::string& actor);
// Records that something names another user; the first such record stays until a person resolves it.
void record_conflict(const std::string& customer, const Claim& claim);
void clear_conflict(const std::string& customer);

// Whose the customer is, without locking: a link that is there never changes its user.
std::optional<std::string> user_of(const std::string& customer);
// Adds the user's anchor when it is missing, without locking it.
void ensure_user(const std::string& user_id);

// Locks the anchors of these users in bytewise order, adding those that are missing. With `wait` false, those
// that another transaction holds are left out of the result.
std::set<std::string> lock_users(const std::set<std::string>& users, bool wait);

}  // namespace billing::links
