#include "functions/mirror.hpp"

#include <algorithm>
#include <memory>
#include <tuple>

#include "core/causal_chain.hpp"
#include "core/fields.hpp"
#include "core/payer.hpp"
#include "functions/mirror_keys.hpp"
#include "pg/row_reader.hpp"

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
  std::string payer;  // stripe_customer_id of a payment intent or charge
  bool payer_changed = false;
  bool was_payer_known = false;
};
constexpr int kEmbedded = -1;  // finality of a snapshot that was part of another object

using Table = std::map<Key, Row>;
using Events = std::vector<std::unique_ptr<Event>>;

pg::Statement lock_rows(
    "SELECT o.stripe_account, o.livemode, o.object_type, o.object_id, o.finality, o.event_created, o.origin,"
    " o.lifecycle, o.event_id, o.ambiguous, o.stripe_customer_id" KEYS_MATCH
    " ORDER BY o.stripe_account, o.livemode, o.object_type, o.object_id FOR NO KEY UPDATE OF o");
// Shared: many may wait for one object, while whoever brings it waits for them.
pg::Statement share_rows(
    "SELECT o.stripe_account, o.livemode, o.object_type, o.object_id, o.object IS NOT NULL"
    " OR o.stripe_customer_id IS NOT NULL" KEYS_MATCH
    " ORDER BY o.stripe_account, o.livemode, o.object_type, o.object_id FOR SHARE OF o SKIP LOCKED");
pg::Statement read_row(
    "SELECT o.object, o.api_version, o.stripe_customer_id FROM @stripe_objects o"
    " WHERE o.stripe_account = $1 AND o.livemode = $2 AND o.object_type = $3 AND o.object_id = $4");
pg::Statement read_second(
    "SELECT p.payload FROM @stripe_events e JOIN @stripe_event_payloads p"
    "  ON p.stripe_event_id = e.stripe_event_id AND p.stripe_created = e.stripe_created"
    " WHERE e.object_id = $1 AND e.stripe_created = $2"
    "  AND (e.outcome IN ('processed', 'parked') OR e.waiting_for IS NOT NULL)");

#define VALUES_ROW                                                                                      \
  " FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"                 \
  "  r(account, livemode, type, id, customer, parent, object, version, deleted, ambiguous, paid_until," \
  "    finality, created, origin, lifecycle, event)"

pg::Statement insert_rows(
    "INSERT INTO @stripe_objects (stripe_account, livemode, object_type, object_id, stripe_customer_id, "
    "parent_id,"
    "  object, api_version, deleted, ambiguous, paid_until, finality, event_created, origin, lifecycle, "
    "event_id)"
    " SELECT r.account, r.livemode, r.type, r.id, r.customer, r.parent, r.object, r.version, "
    "r.deleted,"
    "  r.ambiguous, r.paid_until, r.finality, r.created, r.origin, r.lifecycle, r.event" VALUES_ROW
    " ON CONFLICT (stripe_account, livemode, object_type, object_id) DO NOTHING"
    " RETURNING stripe_account, livemode, object_type, object_id");
pg::Statement update_rows(
    "UPDATE @stripe_objects o SET stripe_customer_id = r.customer, parent_id = r.parent, object = "
    "r.object,"
    "  api_version = r.version, deleted = r.deleted, ambiguous = r.ambiguous, paid_until = r.paid_until,"
    "  finality = r.finality, event_created = r.created, origin = r.origin, lifecycle = r.lifecycle,"
    "  event_id = r.event, updated_at = now()" VALUES_ROW
    " WHERE o.stripe_account = r.account AND o.livemode = r.livemode AND o.object_type = r.type"
    "  AND o.object_id = r.id");
#undef VALUES_ROW
pg::Statement update_payers(
    "UPDATE @stripe_objects o SET stripe_customer_id = k.customer, updated_at = now()"
    " FROM unnest($1, $2, $3, $4, $5) k(account, livemode, type, id, customer)"
    " WHERE o.stripe_account = k.account AND o.livemode = k.livemode AND o.object_type = k.type"
    "  AND o.object_id = k.id");

pg::RowReader any_row("stripe_objects", "stripe_objects_pkey", "object_id");

bool has_payer(const Key& key) { return key.type == "payment_intent" || key.type == "charge"; }

Table lock_existing(const std::set<Key>& keys) {
  KeyArrays arrays;
  for (const Key& key : keys)
    if (any_row.any({pg::parameter(key.account), pg::parameter(key.livemode), pg::parameter(key.type),
                     pg::parameter(key.id)}))
      arrays.add(key);
  Table table;
  if (arrays.id.empty()) return table;
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
    const Key key = key_from(rows, i);
    if (has_payer(key)) row.payer = rows.text(i, 10);
    row.was_payer_known = !row.payer.empty();
    table[key] = row;
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
  own->object = rows.document(0, 0);
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

// A customer that the object's own snapshot names decides; where it names none, whoever else did.
void fold_payer(Row& row, const std::string& told) {
  const bool is_settled = row.was_known && row.was_payer_known && !is_guest(row.payer);
  std::string payer = is_settled ? row.payer : surer_payer(told, row.payer);
  if (row.winner != nullptr)
    payer = is_guest(row.winner->customer_id) ? surer_payer(row.winner->customer_id, payer)
                                              : row.winner->customer_id;
  row.payer_changed = payer != row.payer;
  row.payer = std::move(payer);
}

struct RowArrays {
  KeyArrays keys;
  pg::Texts customer, parent, version, event;
  pg::Documents object;
  pg::Flags deleted, ambiguous;
  pg::Times paid_until, created;
  pg::Numbers finality, origin, lifecycle;

  void add_placeholder(const Key& key, const Row& row) {
    keys.add(key);
    customer.push_back(unless_empty(row.payer));
    for (pg::Texts* column : {&parent, &version, &event}) column->push_back(std::nullopt);
    object.push_back(nullptr);
    for (pg::Flags* column : {&deleted, &ambiguous}) column->push_back(0);
    for (pg::Times* column : {&paid_until, &created}) column->add(std::nullopt);
    for (pg::Numbers* column : {&finality, &origin, &lifecycle}) column->push_back(std::nullopt);
  }
  void add(const Key& key, const Row& row) {
    const Event& e = *row.winner;
    keys.add(key);
    customer.push_back(unless_empty(has_payer(key) ? row.payer : e.customer_id));
    parent.push_back(unless_empty(fields::parent_id(e.object_type, e.object)));
    object.push_back(&e.object);
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
  static std::optional<std::string> unless_empty(std::string text) {
    return text.empty() ? std::nullopt : std::optional(std::move(text));
  }
  pg::Rows run(pg::Statement& statement) const {
    return statement.run(keys.account, keys.livemode, keys.type, keys.id, customer, parent, object, version,
                         deleted, ambiguous, paid_until, finality, created, origin, lifecycle, event);
  }
};

void write(const Table& table, std::set<Key>& written) {
  RowArrays inserts, updates;
  KeyArrays payments;
  pg::Texts payers;
  for (const auto& [key, row] : table) {
    if (!row.exists) {
      if (row.changed)
        inserts.add(key, row);
      else
        inserts.add_placeholder(key, row);
      continue;
    }
    if (row.changed) {
      updates.add(key, row);
    } else if (row.payer_changed) {
      payments.add(key);
      payers.push_back(row.payer);
    }
    written.insert(key);
  }
  if (!payers.empty())
    update_payers.run(payments.account, payments.livemode, payments.type, payments.id, payers);
  if (!updates.keys.id.empty()) updates.run(update_rows);
  if (inserts.keys.id.empty()) return;
  const pg::Rows rows = inserts.run(insert_rows);
  for (std::size_t i = 0; i < rows.size(); ++i) written.insert(key_from(rows, i));
}

}  // namespace

Key key_of(const Event& event) { return {event.account, event.livemode, event.object_type, event.object_id}; }

Folded fold(const std::vector<Work*>& works, const Extras& extras) {
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
  for (const auto& [key, payer] : extras.payers) incoming[key];

  Folded folded;
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
      if (has_payer(key)) {
        const auto told = extras.payers.find(key);
        fold_payer(row, told == extras.payers.end() ? "" : told->second);
      }
    }
    std::set<Key> written;
    write(table, written);
    for (const Key& key : written) {
      const Row& row = table[key];
      const std::vector<const Event*> events = std::move(incoming.at(key).own);
      incoming.erase(key);
      if (row.changed && std::find(events.begin(), events.end(), row.winner) != events.end())
        folded.brought[key] = row.winner;
      if ((row.has_rank && !row.was_known) || (!row.payer.empty() && !row.was_payer_known))
        folded.found.insert(key);
      if (row.changed && row.ambiguous) folded.ambiguous[key] = row.rank.created;
    }
  }
  return folded;
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

}  // namespace billing::mirror
