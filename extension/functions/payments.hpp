// payments and enrollments: rows of users that follow what the mirror says of their payments.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "functions/mirror.hpp"
#include "functions/notifications.hpp"
#include "functions/work.hpp"

namespace billing::payments {

using Id = std::pair<std::string, std::string>;  // Stripe account and payment

// The payment that an event tells of; the id is "" when it tells of none.
Id touched_by(const Event& event);

// Who else than the events' customers may own the payments that they tell of: linked payers that the mirror
// knows of. Their links are to be locked with those of the customers.
std::set<std::string> payers_beside(const std::vector<Work*>& works);

struct Touched {
  std::set<Id> payments;
  std::map<Id, std::set<std::string>> charges;  // that are known to belong to a payment
  std::set<std::string> customers;              // all payments of these
  std::set<std::string> failed_checkouts;       // by events that are not stored yet
  void add(const Event& event);
};
// Writes the rows of the payments that these events tell of, of all payments of these customers, and of those
// that invoices are told to be paid by. `users` are those whose anchors are locked. Returns the events that
// tell of payments of others, which were left alone.
std::vector<Work*> follow(const std::vector<Work*>& works, const std::set<std::string>& customers,
                          const mirror::Payers& invoiced, const std::set<std::string>& users, bool live,
                          notifications::News& news);

}  // namespace billing::payments
