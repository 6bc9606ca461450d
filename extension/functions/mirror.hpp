// stripe_objects: the winning snapshot of every Stripe object.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "core/ordering.hpp"
#include "core/subscription.hpp"
#include "functions/work.hpp"

namespace billing::mirror {

struct Key {
  std::string account;
  bool livemode = false;
  std::string type;
  std::string id;
  auto operator<=>(const Key&) const = default;
};
Key key_of(const Event& event);

// Folds the snapshots of these events into the mirror. The result depends on the set of events received for
// an object, not on their order or number.
void fold(const std::vector<Work*>& works);

// The customers of these objects. One that is not known yet gets a placeholder, which is locked until the
// transaction ends: either its event finds what we write, or we find its customer. Both ways nothing falls in
// between.
std::map<Key, std::string> await_customers(const std::set<Key>& objects);

// The events that told of the deletion of these customers, without their object.
std::vector<Event> deletions(const std::set<std::string>& customers);

// What a batch has touched, and whose rows therefore have to follow the mirror.
struct Touched {
  std::set<std::string> customers;        // of everything below
  std::set<std::string> subscriptions;    // these subscriptions
  std::set<std::string> whole_customers;  // every subscription of these customers
};
// The touched subscriptions as the mirror has them now, with what their invoices, schedules and customers
// add.
std::vector<Subscription> subscriptions(const Touched& touched);

}  // namespace billing::mirror
