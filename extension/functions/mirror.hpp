// stripe_objects: the winning snapshot of every Stripe object.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "core/ordering.hpp"
#include "core/subscription.hpp"
#include "functions/work.hpp"
#include "pg/spi.hpp"

namespace billing::mirror {

struct Key {
  std::string account;
  bool livemode = false;
  std::string type;
  std::string id;
  auto operator<=>(const Key&) const = default;
};
Key key_of(const Event& event);
using Payers = std::map<Key, std::string>;

// What a batch brings or wants beside its events' own objects.
struct Extras {
  // Whole objects inside others (the price inside a subscription item), each as an event of its own with the
  // outer one's id and time. They stand until the object's own first event; of several the earliest counts,
  // so that one that is known already costs no lock.
  std::vector<Event> embedded;
  // Objects that are not known yet and that events wait for: each gets a placeholder.
  std::set<Key> awaited;
  // Payment intents and charges that other objects name, and whose they are: said by their rows, placeholders
  // too, as long as their own snapshot names no customer.
  Payers payers;
};
// Objects of which an event of the batch is the snapshot that the mirror has now, and that event: nobody has
// to read them back.
using Snapshots = std::map<Key, const Event*>;
struct Folded {
  std::set<Key> found;  // known, or with a known payer, from now on
  Snapshots brought;
  std::map<Key, Seconds> ambiguous;  // in doubt from now on: the second whose order nobody tells
};
// Folds the snapshots of these events into the mirror. The result depends on the set of events received for
// an object, not on their order or number.
Folded fold(const std::vector<Work*>& works, const Extras& extras);

// Of these objects, those of which neither they nor their payer is known; nobody brings them until the
// transaction ends. `busy` are those that another transaction is bringing.
struct Unknown {
  std::set<Key> unknown;
  std::set<Key> busy;
};
Unknown look_again(const std::set<Key>& awaited);

// The customers of these objects. One that is not known yet gets a placeholder, which is locked until the
// transaction ends: either its event finds what we write, or we find its customer. Both ways nothing falls in
// between.
std::map<Key, std::string> await_customers(const std::set<Key>& objects);

// Whose the payments are that these events tell of or name.
Payers payers_told_by(const std::vector<Work*>& works);
// Those that the mirror does not say yet.
Payers news_among(const Payers& payers);
// What the invoice payments in the mirror name of these invoices.
Payers payers_by_invoice_payments(const std::vector<Work*>& invoices);
// Whose the payments of these refunds and disputes are, as far as their charge or payment intent says, or
// `told` does.
void name_payers(const std::vector<Work*>& works, const Payers& told);
// Whom these events without customer are about, as far as the payment or payment method that they name says.
std::map<const Work*, std::string> owners_named_by(const std::vector<Work*>& works);
// The charge and the payment intent of a refund or dispute: either says whose it is.
std::set<Key> payment_of(const Event& refund_or_dispute);
// Of these objects, those that have no row, not even a placeholder.
std::set<Key> absent(const std::set<Key>& objects);

// The events that told of the deletion of these customers, without their object.
std::vector<Event> deletions(const std::set<std::string>& customers);

// What a batch has touched, and whose rows therefore have to follow the mirror.
struct Touched {
  std::set<std::string> customers;        // of everything below
  std::set<std::string> subscriptions;    // these subscriptions
  std::set<std::string> whole_customers;  // every subscription of these customers
};
// The touched subscriptions as the mirror has them now, with what their schedules and customers add; not how
// long they are paid for (functions/paid_through.hpp).
std::vector<Subscription> subscriptions(const Touched& touched, const Snapshots& brought);

// Those of the snapshots that are of this type, by the ids of their events.
pg::Texts event_ids(const Snapshots& brought, std::string_view type);

}  // namespace billing::mirror
