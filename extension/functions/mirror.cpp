#include "functions/mirror.hpp"

#include <algorithm>
#include <memory>
#include <tuple>

#include "core/causal_chain.hpp"
#include "core/fields.hpp"
#include "pg/spi.hpp"

namespace billing::mirror {

namespace {

// An object's row while events are folded into it.
struct Row {
  bool exists = false;    // there is a row, be it a placeholder
  bool has_rank = false;  // there is a snapshot
  Rank rank;
  bool ambiguous = false;
  const Event* winner = nullptr;  // the event that won; null while the stored snapshot stands
  bool changed = false;
  bool was_known = false;
};
constexpr int kEmbedded = -1;  // finality of a snapshot that was part of another object

using Table = std::map<Key, Row>;
using Events = std::vector<std::unique_ptr<Event>>;

struct KeyArrays {
  pg::Texts account, type, id;
  pg::Flags livemode;
  void add(const Key& key) {
    account.push_back(key.account);
    livemode.push_back(key.livemode ? 1 : 0);
    type.push_back(key.type);
    id.push_back(key.id);
  }
};

#define KEYS_MATCH                                                                      \
  " FROM unnest($1, $2, $3, $4) k(account, livemode, type, id)"                         \
  " JOIN @stripe_objects o ON o.stripe_account = k.account AND o.livemode = k.livemode" \
  "  AND o.object_type = k.type AND o.object_id = k.id"

pg::Statement lock_rows(
    "SELECT o.stripe_account, o.livemode, o.object_type, o.object_id, o.finality, o.event_created, o.origin,"
    " o.lifecycle, o.event_id, o.ambiguous" KEYS_MATCH
    " ORDER BY o.stripe_account, o.livemode, o.object_type, o.object_id FOR NO KEY UPDATE OF o");
// Shared: many may wait for one object, while whoever brings it waits for them.
pg::Statement share_rows(
    "SELECT o.stripe_account, o.livemode, o.object_type, o.object_id, o.object IS NOT NULL" KEYS_MATCH
    " ORDER BY o.stripe_account, o.livemode, o.object_type, o.object_id FOR SHARE OF o SKIP LOCKED");
pg::Statement read_keys("SELECT o.stripe_account, o.livemode, o.object_type, o.object_id" KEYS_MATCH);
pg::Statement insert_placeholders(
    "INSERT INTO @stripe_objects (stripe_account, livemode, object_type, object_id)"
    " SELECT k.account, k.livemode, k.type, k.id FROM unnest($1, $2, $3, $4) k(account, livemode, type, id)"
    " ON CONFLICT (stripe_account, livemode, object_type, object_id) DO NOTHING");
pg::Statement lock_customers(
    "SELECT o.stripe_account, o.livemode, o.object_type, o.object_id, o.stripe_customer_id" KEYS_MATCH
    " ORDER BY o.stripe_account, o.livemode, o.object_type, o.object_id FOR NO KEY UPDATE OF o");
pg::Statement read_row(
    "SELECT o.object::text, o.api_version, o.stripe_customer_id FROM @stripe_objects o"
    " WHERE o.stripe_account = $1 AND o.livemode = $2 AND o.object_type = $3 AND o.object_id = $4");
pg::Statement read_second(
    "SELECT p.payload FROM @stripe_events e JOIN @stripe_event_payloads p"
    "  ON p.stripe_event_id = e.stripe_event_id AND p.stripe_created = e.stripe_created"
    " WHERE e.object_id = $1 AND e.stripe_created = $2"
    "  AND (e.outcome IN ('processed', 'parked') OR e.waiting_for IS NOT NULL)");
#undef KEYS_MATCH

#define VALUES_ROW                                                                                      \
  " FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"                 \
  "  r(account, livemode, type, id, customer, parent, object, version, deleted, ambiguous, paid_until," \
  "    finality, created, origin, lifecycle, event)"

pg::Statement insert_rows(
    "INSERT INTO @stripe_objects (stripe_account, livemode, object_type, object_id, stripe_customer_id, "
    "parent_id,"
    "  object, api_version, deleted, ambiguous, paid_until, finality, event_created, origin, lifecycle, "
    "event_id)"
    " SELECT r.account, r.livemode, r.type, r.id, r.customer, r.parent, r.object::jsonb, r.version, "
    "r.deleted,"
    "  r.ambiguous, r.paid_until, r.finality, r.created, r.origin, r.lifecycle, r.event" VALUES_ROW
    " ON CONFLICT (stripe_account, livemode, object_type, object_id) DO NOTHING"
    " RETURNING stripe_account, livemode, object_type, object_id");
pg::Statement update_rows(
    "UPDATE @stripe_objects o SET stripe_customer_id = r.customer, parent_id = r.parent, object = "
    "r.object::jsonb,"
    "  api_version = r.version, deleted = r.deleted, ambiguous = r.ambiguous, paid_until = r.paid_until,"
    "  finality = r.finality, event_created = r.created, origin = r.origin, lifecycle = r.lifecycle,"
    "  event_id = r.event, updated_at = now()" VALUES_ROW
    " WHERE o.stripe_account = r.account AND o.livemode = r.livemode AND o.object_type = r.type"
    "  AND o.object_id = r.id");
#undef VALUES_ROW

Key key_from(const pg::Rows& rows, std::size_t row) {
  return {rows.text(row, 0), rows.flag(row, 1), rows.text(row, 2), rows.text(row, 3)};
}

Table lock_existing(const std::set<Key>& keys) {
  KeyArrays arrays;
  for (const Key& key : keys) arrays.add(key);
  Table table;
  const pg::Rows rows = lock_rows.run(arrays.account, arrays.livemode, arrays.type, arrays.id);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Row row;
    row.exists = true;
    row.has_rank = !rows.null(i, 4);
    if (row.has_rank)
      row.rank =
          Rank{static_cast<int>(rows.number(i, 4)), *rows.maybe_seconds(i, 5),
               static_cast<int>(rows.number(i, 6)), static_cast<int>(rows.number(i, 7)), rows.text(i, 8)};
    row.was_known = row.has_rank;
    row.ambiguous = rows.flag(i, 9);
    table[key_from(rows, i)] = row;
  }
  return table;
}

// What a row says about how final and how late its snapshot is. Only equals leave a question open.
std::pair<int, Seconds> standing(const Rank& rank) { return {rank.finality, rank.created}; }

// The events of one object and standing that are in the inbox, and the row's own snapshot where retention has
// dropped its payload.
Events stored_equals(const Key& key, const Row& row, const std::vector<const Event*>& incoming) {
  Events found;
  std::set<std::string> known;
  for (const Event* event : incoming) known.insert(event->id);
  const auto add = [&](Event event) {
    if (key_of(event) != key || standing(rank_of(event)) != standing(row.rank)) return;
    if (known.insert(event.id).second) found.push_back(std::make_unique<Event>(std::move(event)));
  };
  const pg::Rows payloads = read_second.run(key.id, pg::Time{instant(row.rank.created)});
  for (std::size_t i = 0; i < payloads.size(); ++i) add(parse_event(payloads.view(i, 0)));
  if (known.count(row.rank.event_id) > 0) return found;
  const pg::Rows rows = read_row.run(key.account, key.livemode, key.type, key.id);
  if (rows.empty() || rows.null(0, 0)) return found;
  auto own = std::make_unique<Event>();
  own->id = row.rank.event_id;
  own->created = row.rank.created;
  own->livemode = key.livemode;
  own->account = key.account;
  own->object_type = key.type;
  own->object_id = key.id;
  own->type = row.rank.finality == 2 ? "object.deleted"
              : row.rank.origin == 1 ? "object.created"
                                     : "object.updated";
  own->object = parse_json(rows.view(0, 0));
  own->api_version = rows.text(0, 1);
  own->customer_id = rows.text(0, 2);
  found.push_back(std::move(own));
  return found;
}

// The fast path is one comparison: an event that is plainly the newest wins, one that is plainly older loses.
// Only events of one second and finality are looked at together, with what is stored of that second.
void fold_object(const Key& key, Row& row, const std::vector<const Event*>& incoming, Events& stored) {
  auto newest = standing(rank_of(*incoming.front()));
  for (const Event* event : incoming) newest = std::max(newest, standing(rank_of(*event)));
  if (row.has_rank && standing(row.rank) > newest) return;
  std::vector<const Event*> candidates;
  for (const Event* event : incoming)
    if (standing(rank_of(*event)) == newest) candidates.push_back(event);
  if (row.has_rank && standing(row.rank) == newest) {
    if (candidates.size() == 1 && candidates.front()->id == row.rank.event_id) return;
    for (auto& event : stored_equals(key, row, candidates)) {
      candidates.push_back(event.get());
      stored.push_back(std::move(event));
    }
  }
  const LastOfSecond last = last_of_second(candidates);
  if (row.has_rank && last.event->id == row.rank.event_id && row.ambiguous == !last.certain) return;
  row.has_rank = row.changed = true;
  row.rank = rank_of(*last.event);
  row.winner = last.event;
  row.ambiguous = !last.certain;
}

// Below every event of the object's own; the earliest stands.
void fold_embedded(Row& row, const Event& embedded) {
  const bool earlier =
      std::tie(embedded.created, embedded.id) < std::tie(row.rank.created, row.rank.event_id);
  if (row.has_rank && (row.rank.finality != kEmbedded || !earlier)) return;
  row.has_rank = row.changed = true;
  row.rank = Rank{kEmbedded, embedded.created, 0, 0, embedded.id};
  row.winner = &embedded;
}

struct RowArrays {
  KeyArrays keys;
  pg::Texts customer, parent, object, version, event;
  pg::Flags deleted, ambiguous;
  pg::Times paid_until, created;
  pg::Numbers finality, origin, lifecycle;

  void add_placeholder(const Key& key) {
    keys.add(key);
    for (pg::Texts* column : {&customer, &parent, &object, &version, &event}) column->push_back(std::nullopt);
    for (pg::Flags* column : {&deleted, &ambiguous}) column->push_back(0);
    for (pg::Times* column : {&paid_until, &created}) column->add(std::nullopt);
    for (pg::Numbers* column : {&finality, &origin, &lifecycle}) column->push_back(std::nullopt);
  }
  void add(const Key& key, const Row& row) {
    const Event& e = *row.winner;
    const auto unless_empty = [](std::string text) {
      return text.empty() ? std::nullopt : std::optional(std::move(text));
    };
    keys.add(key);
    customer.push_back(unless_empty(e.customer_id));
    parent.push_back(unless_empty(fields::parent_id(e.object_type, e.object)));
    object.push_back(to_text(e.object));
    version.push_back(unless_empty(e.api_version));
    deleted.push_back(row.rank.finality == 2 ? 1 : 0);
    ambiguous.push_back(row.ambiguous ? 1 : 0);
    const bool paid = e.object_type == "invoice" && fields::invoice_is_paid(e.object);
    paid_until.add(paid ? fields::invoice_paid_until(e.object) : std::nullopt);
    finality.push_back(row.rank.finality);
    created.add(row.rank.created);
    origin.push_back(row.rank.origin);
    lifecycle.push_back(row.rank.lifecycle);
    event.push_back(row.rank.event_id);
  }
  pg::Rows run(pg::Statement& statement) const {
    return statement.run(keys.account, keys.livemode, keys.type, keys.id, customer, parent, object, version,
                         deleted, ambiguous, paid_until, finality, created, origin, lifecycle, event);
  }
};

void write(const Table& table, std::set<Key>& written) {
  RowArrays inserts, updates;
  for (const auto& [key, row] : table) {
    if (!row.exists) {
      if (row.changed)
        inserts.add(key, row);
      else
        inserts.add_placeholder(key);
      continue;
    }
    if (row.changed) updates.add(key, row);
    written.insert(key);
  }
  if (!updates.keys.id.empty()) updates.run(update_rows);
  if (inserts.keys.id.empty()) return;
  const pg::Rows rows = inserts.run(insert_rows);
  for (std::size_t i = 0; i < rows.size(); ++i) written.insert(key_from(rows, i));
}

pg::Statement read_payers(
    "SELECT k.n, coalesce((SELECT o.stripe_customer_id FROM @stripe_objects o WHERE o.stripe_account = "
    "k.account"
    "   AND o.livemode = k.livemode AND o.object_type = 'charge' AND o.object_id = k.charge),"
    "  (SELECT o.stripe_customer_id FROM @stripe_objects o WHERE o.stripe_account = k.account"
    "   AND o.livemode = k.livemode AND o.object_type = 'payment_intent' AND o.object_id = k.intent))"
    " FROM unnest($1, $2, $3, $4) WITH ORDINALITY k(account, livemode, charge, intent, n)");

pg::Statement read_deletions(
    "SELECT e.object_id, e.stripe_event_id, e.stripe_created FROM @stripe_events e"
    " WHERE e.object_id = ANY ($1) AND e.event_type = 'customer.deleted' AND e.outcome = 'processed'"
    " ORDER BY e.object_id, e.stripe_event_id");

pg::Statement read_customers(
    "SELECT o.stripe_account, o.livemode, o.object_type, o.object_id, o.stripe_customer_id"
    " FROM unnest($1, $2, $3, $4) k(account, livemode, type, id) JOIN @stripe_objects o"
    "  ON o.stripe_account = k.account AND o.livemode = k.livemode AND o.object_type = k.type"
    "  AND o.object_id = k.id WHERE o.stripe_customer_id IS NOT NULL");

// What an invoice paid counts until its charge is refunded in full: the charge says so itself, linked to the
// invoice directly (before basil) or through the payment intent of an invoice payment.
pg::Statement read_subscriptions(
    "SELECT s.object::text, s.stripe_account, s.livemode,"
    "  s.ambiguous OR EXISTS (SELECT FROM @stripe_objects h WHERE h.stripe_account = s.stripe_account"
    "    AND h.livemode = s.livemode AND h.object_type = 'subscription_schedule'"
    "    AND h.object_id = s.object ->> 'schedule' AND h.ambiguous), s.event_created,"
    "  (SELECT c.deleted FROM @stripe_objects c WHERE c.stripe_account = s.stripe_account"
    "    AND c.livemode = s.livemode AND c.object_type = 'customer' AND c.object_id = s.stripe_customer_id),"
    "  (SELECT h.object::text FROM @stripe_objects h WHERE h.stripe_account = s.stripe_account"
    "    AND h.livemode = s.livemode AND h.object_type = 'subscription_schedule'"
    "    AND h.object_id = s.object ->> 'schedule'),"
    "  (SELECT max(i.paid_until) FROM @stripe_objects i"
    "    WHERE i.parent_id = s.object_id AND i.object_type = 'invoice' AND i.paid_until IS NOT NULL"
    "      AND NOT EXISTS (SELECT FROM @stripe_objects p WHERE p.object_type = 'charge'"
    "        AND p.object -> 'refunded' = 'true'"
    "        AND (p.parent_id = i.object_id OR p.parent_id = i.object ->> 'payment_intent'"
    "          OR p.object_id = i.object ->> 'charge' OR p.parent_id IN"
    "            (SELECT q.object -> 'payment' ->> 'payment_intent' FROM @stripe_objects q"
    "              WHERE q.parent_id = i.object_id AND q.object_type = 'invoice_payment'))"
    "        AND p.stripe_customer_id = i.stripe_customer_id))"
    " FROM @stripe_objects s"
    " WHERE s.object_type = 'subscription' AND s.object IS NOT NULL AND s.stripe_customer_id = ANY ($1)"
    "  AND (s.object_id = ANY ($2) OR s.stripe_customer_id = ANY ($3))"
    " ORDER BY s.stripe_customer_id, s.object_id");

}  // namespace

Key key_of(const Event& event) { return {event.account, event.livemode, event.object_type, event.object_id}; }

std::set<Key> fold(const std::vector<Work*>& works, const Extras& extras) {
  struct Incoming {
    std::vector<const Event*> own;
    std::vector<const Event*> embedded;
  };
  std::map<Key, Incoming> incoming;
  for (const Work* work : works)
    if (work->event && !work->event->thin && !work->event->object_id.empty() &&
        !work->event->object_type.empty())
      incoming[key_of(*work->event)].own.push_back(&*work->event);
  for (const Event& event : extras.embedded) incoming[key_of(event)].embedded.push_back(&event);
  for (const Key& key : extras.awaited) incoming[key];

  std::set<Key> found;
  // A row that another transaction inserts between our look and our insert is looked at again; it exists by
  // then.
  while (!incoming.empty()) {
    std::set<Key> keys;
    for (const auto& [key, events] : incoming) keys.insert(key);
    Table table = lock_existing(keys);
    Events stored;
    for (const auto& [key, events] : incoming) {
      Row& row = table[key];
      for (const Event* event : events.embedded) fold_embedded(row, *event);
      if (!events.own.empty()) fold_object(key, row, events.own, stored);
    }
    std::set<Key> written;
    write(table, written);
    for (const Key& key : written) {
      incoming.erase(key);
      const Row& row = table[key];
      if (row.has_rank && !row.was_known) found.insert(key);
    }
  }
  return found;
}

Unknown look_again(const std::set<Key>& awaited) {
  Unknown answer;
  if (awaited.empty()) return answer;
  KeyArrays arrays;
  for (const Key& key : awaited) arrays.add(key);
  answer.busy = awaited;
  const pg::Rows rows = share_rows.run(arrays.account, arrays.livemode, arrays.type, arrays.id);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    answer.busy.erase(key_from(rows, i));
    if (!rows.flag(i, 4)) answer.unknown.insert(key_from(rows, i));
  }
  return answer;
}

std::set<Key> payment_of(const Event& event) {
  std::set<Key> keys;
  const auto add = [&](const char* type, const std::string& id) {
    if (!id.empty() && id.size() <= kMaxIdBytes) keys.insert({event.account, event.livemode, type, id});
  };
  add("charge", fields::refund_charge(event.object));
  add("payment_intent", id_of(event.object, "payment_intent"));
  return keys;
}

std::set<Key> absent(const std::set<Key>& objects) {
  std::set<Key> rest = objects;
  if (objects.empty()) return rest;
  KeyArrays arrays;
  for (const Key& key : objects) arrays.add(key);
  const pg::Rows rows = read_keys.run(arrays.account, arrays.livemode, arrays.type, arrays.id);
  for (std::size_t i = 0; i < rows.size(); ++i) rest.erase(key_from(rows, i));
  return rest;
}

void name_payers(const std::vector<Work*>& works) {
  if (works.empty()) return;
  pg::Texts account, charge, intent;
  pg::Flags livemode;
  for (const Work* work : works) {
    const Event& event = *work->event;
    account.push_back(event.account);
    livemode.push_back(event.livemode ? 1 : 0);
    charge.push_back(fields::refund_charge(event.object));
    intent.push_back(id_of(event.object, "payment_intent"));
  }
  const pg::Rows rows = read_payers.run(account, livemode, charge, intent);
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (!rows.null(i, 1)) works[static_cast<std::size_t>(rows.number(i, 0)) - 1]->customer = rows.text(i, 1);
}

std::vector<Event> deletions(const std::set<std::string>& customers) {
  std::vector<Event> found;
  if (customers.empty()) return found;
  const pg::Rows rows = read_deletions.run(pg::Texts(customers.begin(), customers.end()));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Event event;
    event.type = "customer.deleted";
    event.object = Json::object();
    event.object_type = "customer";
    event.object_id = event.customer_id = rows.text(i, 0);
    event.id = rows.text(i, 1);
    event.created = rows.maybe_seconds(i, 2).value_or(0);
    found.push_back(std::move(event));
  }
  return found;
}

std::map<Key, std::string> await_customers(const std::set<Key>& objects) {
  std::map<Key, std::string> customers;
  const auto take = [&](pg::Statement& statement, const KeyArrays& keys) {
    const pg::Rows rows = statement.run(keys.account, keys.livemode, keys.type, keys.id);
    for (std::size_t i = 0; i < rows.size(); ++i)
      if (!rows.null(i, 4)) customers[key_from(rows, i)] = rows.text(i, 4);
  };
  if (objects.empty()) return customers;
  KeyArrays all, unknown;
  for (const Key& key : objects) all.add(key);
  take(read_customers, all);
  for (const Key& key : objects)
    if (customers.count(key) == 0) unknown.add(key);
  if (unknown.id.empty()) return customers;
  insert_placeholders.run(unknown.account, unknown.livemode, unknown.type, unknown.id);
  take(lock_customers, unknown);
  return customers;
}

std::vector<Subscription> subscriptions(const Touched& touched) {
  if (touched.customers.empty()) return {};
  const auto texts = [](const std::set<std::string>& values) {
    return pg::Texts(values.begin(), values.end());
  };
  const pg::Rows rows = read_subscriptions.run(texts(touched.customers), texts(touched.subscriptions),
                                               texts(touched.whole_customers));
  std::vector<Subscription> found;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Subscription one = read_subscription(parse_json(rows.view(i, 0)));
    one.account = rows.text(i, 1);
    one.livemode = rows.flag(i, 2);
    one.ambiguous = rows.flag(i, 3);
    one.event_created = rows.maybe_seconds(i, 4).value_or(0);
    one.customer_deleted = !rows.null(i, 5) && rows.flag(i, 5);
    if (!rows.null(i, 6)) one.scheduled_change = next_phase(parse_json(rows.view(i, 6)));
    one.paid_through = rows.maybe_seconds(i, 7);
    found.push_back(std::move(one));
  }
  return found;
}

}  // namespace billing::mirror
