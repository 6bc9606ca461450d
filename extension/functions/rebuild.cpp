#include "functions/rebuild.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "functions/batch.hpp"
#include "functions/cache.hpp"
#include "functions/inbox.hpp"
#include "functions/links.hpp"
#include "functions/rebuild_credits.hpp"
#include "pg/spi.hpp"
#include "pg/subtransaction.hpp"

namespace billing::rebuild {

namespace {

// The rows that a part owns: $1 customers, $2 ids of objects.
#define PART_OBJECTS \
  " (o.stripe_customer_id = ANY ($1) OR (o.stripe_customer_id IS NULL AND o.object_id = ANY ($2)))"
#define PART_EVENTS                                                                                  \
  " e.object_id IN (SELECT o.object_id FROM @stripe_objects o WHERE o.stripe_customer_id = ANY ($1)" \
  "  UNION ALL SELECT unnest($2))"

// The last column names the version of a row: whoever changes the row changes it.
pg::Statement read_part(
    "SELECT 'stripe_objects', jsonb_build_object('stripe_account', o.stripe_account, 'livemode', o.livemode,"
    "   'object_type', o.object_type, 'object_id', o.object_id)::text, to_jsonb(o)::text,"
    "   o.xmin::text FROM @stripe_objects o WHERE" PART_OBJECTS
    " UNION ALL SELECT 'stripe_customer_links', jsonb_build_object('stripe_customer_id', "
    "l.stripe_customer_id)::text,"
    "   to_jsonb(l)::text, l.xmin::text FROM @stripe_customer_links l WHERE l.stripe_customer_id = ANY ($1)"
    " UNION ALL SELECT 'user_subscriptions', jsonb_build_object('user_id', u.user_id,"
    "   'stripe_subscription_id', u.stripe_subscription_id)::text, to_jsonb(u)::text,"
    "   u.xmin::text FROM @user_subscriptions u WHERE u.user_id IN (SELECT l.user_id FROM "
    "@stripe_customer_links l"
    "   WHERE l.stripe_customer_id = ANY ($1)) AND u.stripe_customer_id = ANY ($1)"
    " UNION ALL SELECT 'audit_logs', jsonb_build_object('user_id', a.user_id, 'fact', a.fact)::text,"
    "   to_jsonb(a)::text, a.xmin::text FROM @audit_logs a WHERE a.user_id IN (SELECT l.user_id FROM "
    "@stripe_customer_links l"
    "   WHERE l.stripe_customer_id = ANY ($1)) AND a.event_id = ANY ($3)"
    " UNION ALL SELECT 'stripe_entitlements', jsonb_build_object('stripe_account', s.stripe_account, "
    "'livemode',"
    "   s.livemode, 'stripe_customer_id', s.stripe_customer_id)::text, to_jsonb(s)::text, s.xmin::text"
    "  FROM @stripe_entitlements s WHERE s.stripe_customer_id = ANY ($1)"
    " UNION ALL SELECT 'payments', jsonb_build_object('user_id', p.user_id, 'payment_id', "
    "p.payment_id)::text,"
    "   to_jsonb(p)::text, p.xmin::text FROM @payments p WHERE p.stripe_customer_id = ANY ($1)"
    " UNION ALL SELECT 'enrollments', jsonb_build_object('user_id', e.user_id, 'item_id', e.item_id,"
    "   'payment_id', e.payment_id)::text, to_jsonb(e)::text, e.xmin::text FROM @enrollments e"
    "   JOIN @payments p ON p.user_id = e.user_id AND p.payment_id = e.payment_id"
    "   WHERE p.stripe_customer_id = ANY ($1)"
    " UNION ALL SELECT 'credit_grants', g.key, g.image, g.version FROM (" GRANTS_OF_CUSTOMERS
    ") g(key, image, version)");

pg::Statement lock_links(
    "SELECT 1 FROM @stripe_customer_links l WHERE l.stripe_customer_id = ANY ($1)"
    " ORDER BY l.stripe_customer_id FOR NO KEY UPDATE");
pg::Statement lock_objects(
    "SELECT 1 FROM @stripe_objects o WHERE" PART_OBJECTS
    " ORDER BY o.stripe_account, o.livemode, o.object_type, o.object_id FOR NO KEY UPDATE");
pg::Statement read_deferred(
    "SELECT 'link:' || c.id FROM unnest($1) c(id)"
    " UNION ALL SELECT k.kind || l.user_id FROM @stripe_customer_links l, unnest('{user:,credits:}'::text[]) "
    "k(kind)"
    "  WHERE l.stripe_customer_id = ANY ($1) AND l.user_id IS NOT NULL"
    " UNION ALL SELECT e.waiting_for FROM @stripe_events e"
    "  WHERE NOT e.processed AND e.waiting_for LIKE 'lock:%'");
// What they waited for has come, or is just coming.
#define DUE " AND NOT e.processed AND e.next_retry_at <= now() + interval '1 minute'"
pg::Statement read_due(
    "SELECT e.stripe_event_id FROM @stripe_events e WHERE e.stripe_customer_id = ANY ($1)"
    "  AND e.waiting_for ~ '^(price|product):'" DUE
    " UNION SELECT e.stripe_event_id FROM @stripe_objects o"
    "  JOIN @stripe_events e ON e.waiting_for = o.object_type || ':' || o.object_id"
    "  WHERE o.stripe_customer_id = ANY ($1) AND o.object_type IN ('charge', 'payment_intent')" DUE);
#undef DUE
// Links stay, and the entries that tell of them, and what summaries of entitlements have told: replaying adds
// what is not there. Placeholders, what other objects' events told of an object,
// and objects whose payload is gone stay: there is nothing of their own to rebuild them from.
pg::Statement empty_objects("DELETE FROM @stripe_objects o WHERE o.finality >= 0 AND" PART_OBJECTS
                            " AND EXISTS (SELECT FROM @stripe_event_payloads p WHERE "
                            "p.stripe_event_id = o.event_id"
                            "  AND p.stripe_created = o.event_created)");
pg::Statement empty_subscriptions(
    "DELETE FROM @user_subscriptions u WHERE u.stripe_customer_id = ANY ($1) AND u.user_id IN"
    " (SELECT l.user_id FROM @stripe_customer_links l WHERE l.stripe_customer_id = ANY ($1))");
pg::Statement empty_enrollments(
    "DELETE FROM @enrollments e USING @payments p WHERE p.stripe_customer_id = ANY ($1)"
    " AND e.user_id = p.user_id AND e.payment_id = p.payment_id");
pg::Statement empty_payments("DELETE FROM @payments p WHERE p.stripe_customer_id = ANY ($1)");
pg::Statement empty_audit(
    "DELETE FROM @audit_logs a WHERE a.event_id = ANY ($2) AND a.actor = 'stripe' AND a.action <> "
    "'customer_linked'"
    " AND a.user_id IN"
    " (SELECT l.user_id FROM @stripe_customer_links l WHERE l.stripe_customer_id = ANY ($1))");
pg::Statement read_stored_events(
    "SELECT e.stripe_event_id, p.payload, NOT e.processed AND coalesce(e.waiting_for, '') ~ '^(link|lock):'"
    " FROM @stripe_events e JOIN @stripe_event_payloads p"
    "  ON p.stripe_event_id = e.stripe_event_id AND p.stripe_created = e.stripe_created"
    " WHERE (e.outcome IN ('processed', 'parked') OR e.waiting_for IS NOT NULL) AND" PART_EVENTS
    " ORDER BY e.stripe_created, e.stripe_event_id");

constexpr int kMaxLooks = 20;

// Columns that say when and by whom a row was written, not what it says.
const std::set<std::string> kIncidental = {"updated_at", "created_at", "linked_at", "linked_by"};

struct Row {
  Json image;
  std::string version;
};
using Snapshot = std::map<std::pair<std::string, std::string>, Row>;  // by table and key

pg::Texts texts(const std::vector<std::string>& values) { return pg::Texts(values.begin(), values.end()); }

Snapshot read(const Part& part, const std::set<std::string>& events) {
  Snapshot rows_by_key;
  const pg::Rows rows =
      read_part.run(texts(part.customers), texts(part.objects), pg::Texts(events.begin(), events.end()));
  for (std::size_t i = 0; i < rows.size(); ++i)
    rows_by_key[{rows.text(i, 0), rows.text(i, 1)}] = Row{parse_json(rows.view(i, 2)), rows.text(i, 3)};
  return rows_by_key;
}

Json essence(Json row) {
  for (const std::string& column : kIncidental) row.erase(column);
  return row;
}

std::vector<Difference> differences(const Snapshot& before, const Snapshot& after) {
  std::vector<Difference> found;
  const auto add = [&](const auto& key, const char* kind, const Row& stored, const Row& rebuilt) {
    found.push_back({key.first, parse_json(key.second), kind, stored.image, rebuilt.image, stored.version});
  };
  for (const auto& [key, row] : before) {
    const auto rebuilt = after.find(key);
    if (key.first == kCreditGrants)
      continue;
    else if (rebuilt == after.end())
      add(key, "extra", row, {});
    else if (essence(row.image) != essence(rebuilt->second.image))
      add(key, "different", row, rebuilt->second);
  }
  for (const auto& [key, row] : after)
    if (before.count(key) == 0) add(key, "missing", {}, row);
  return found;
}

pg::Statement read_linked(
    "SELECT l.stripe_customer_id FROM @stripe_customer_links l"
    " WHERE l.stripe_customer_id = ANY ($1) AND l.user_id IS NOT NULL");

using Events = std::vector<std::pair<std::string, std::string_view>>;  // id and payload
using Ids = std::set<std::string>;

// The stored events of a part. With its locks held, an event that is not among those `known` since then, and
// waits for a lock, has had no effect: it waits for ours, and is passed over.
Events read_events(const Part& part, const std::optional<Ids>& known, bool* passed_over) {
  const pg::Rows rows = read_stored_events.run(texts(part.customers), texts(part.objects));
  Events events;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::string id = rows.text(i, 0);
    if (known && rows.flag(i, 2) && known->count(id) == 0) {
      *passed_over = true;
      continue;
    }
    events.emplace_back(std::move(id), rows.view(i, 1));
  }
  return events;
}

Ids ids_of(const Events& events) {
  Ids ids;
  for (const auto& [id, payload] : events) ids.insert(id);
  return ids;
}

void replay(const Part& part, const Events& events, const Settings& settings) {
  constexpr std::size_t kBatch = 200;
  BatchOptions options;
  options.wait_for_locks = true;
  options.admitted = true;
  const Instant now = pg::from_timestamptz(GetCurrentStatementStartTimestamp());
  for (std::size_t first = 0; first < events.size(); first += kBatch) {
    std::vector<Work> works(std::min(kBatch, events.size() - first));
    std::vector<Work*> pointers;
    for (std::size_t i = 0; i < works.size(); ++i) {
      works[i].stored = true;
      std::tie(works[i].id, works[i].payload) = events[first + i];
      works[i].received = now;  // nothing that waits is given up here
      read_payload(works[i]);
      pointers.push_back(&works[i]);
    }
    run_batch(pointers, settings, options);
  }
  // Also what no stored payload tells of any more.
  const pg::Rows linked = read_linked.run(texts(part.customers));
  for (std::size_t i = 0; i < linked.size(); ++i) options.follow.insert(linked.text(i, 0));
  run_batch({}, settings, options);
}

Snapshot rebuilt(const Part& part, const Events& events, const Settings& settings) {
  const Ids ids = ids_of(events);
  const pg::Texts of_events(ids.begin(), ids.end());
  Snapshot after;
  const auto failure = pg::attempt([&] {
    empty_objects.run(texts(part.customers), texts(part.objects));
    empty_subscriptions.run(texts(part.customers));
    empty_enrollments.run(texts(part.customers));
    empty_payments.run(texts(part.customers));
    empty_audit.run(texts(part.customers), of_events);
    replay(part, events, settings);
    after = read(part, ids);
    // Leaves the subtransaction: what it did was only for looking.
    throw pg::SqlError(ERRCODE_SUCCESSFUL_COMPLETION, "");
  });
  if (failure && failure->code != ERRCODE_SUCCESSFUL_COMPLETION) failure->rethrow();
  return after;
}

// Row by row, from its image. Times that a rebuild does not determine stay as they were.
#define WRITE_ROW(table)                                               \
  "INSERT INTO @" table " SELECT (jsonb_populate_record(NULL::@" table \
  ", $1::jsonb)).* ON CONFLICT DO NOTHING RETURNING 1"
// Only the version that was looked at.
#define ERASED " AND t.xmin::text = $2 RETURNING 1"

pg::Statement delete_object(
    "DELETE FROM @stripe_objects t USING jsonb_populate_record(NULL::@stripe_objects, $1::jsonb) r"
    " WHERE t.stripe_account = r.stripe_account AND t.livemode = r.livemode AND t.object_type = r.object_type"
    "  AND t.object_id = r.object_id" ERASED);
pg::Statement delete_link(
    "DELETE FROM @stripe_customer_links t WHERE t.stripe_customer_id = $1::jsonb ->> "
    "'stripe_customer_id'" ERASED);
pg::Statement delete_subscription(
    "DELETE FROM @user_subscriptions t WHERE t.user_id = $1::jsonb ->> 'user_id'"
    " AND t.stripe_subscription_id = $1::jsonb ->> 'stripe_subscription_id'" ERASED);
pg::Statement delete_audit(
    "DELETE FROM @audit_logs t WHERE t.user_id = $1::jsonb ->> 'user_id' AND t.fact = $1::jsonb ->> "
    "'fact'" ERASED);
pg::Statement delete_entitlements(
    "DELETE FROM @stripe_entitlements t USING jsonb_populate_record(NULL::@stripe_entitlements, $1::jsonb) r"
    " WHERE t.stripe_account = r.stripe_account AND t.livemode = r.livemode"
    "  AND t.stripe_customer_id = r.stripe_customer_id" ERASED);
pg::Statement delete_payment(
    "DELETE FROM @payments t WHERE t.user_id = $1::jsonb ->> 'user_id'"
    " AND t.payment_id = $1::jsonb ->> 'payment_id'" ERASED);
pg::Statement delete_enrollment(
    "DELETE FROM @enrollments t WHERE t.user_id = $1::jsonb ->> 'user_id'"
    " AND t.item_id = $1::jsonb ->> 'item_id' AND t.payment_id = $1::jsonb ->> 'payment_id'" ERASED);
#undef ERASED
pg::Statement write_object(WRITE_ROW("stripe_objects"));
pg::Statement write_link(WRITE_ROW("stripe_customer_links"));
pg::Statement write_subscription(WRITE_ROW("user_subscriptions"));
pg::Statement write_audit(WRITE_ROW("audit_logs"));
pg::Statement write_entitlements(WRITE_ROW("stripe_entitlements"));
pg::Statement write_payment(WRITE_ROW("payments"));
pg::Statement write_enrollment(WRITE_ROW("enrollments"));

// False when the row is not any more what was compared: an event has come in between. Rows that were not
// there cannot be locked, nor can the link of a customer that has none.
bool write(Difference& difference) {
  struct Writer {
    pg::Statement& erase;
    pg::Statement& write;
  };
  const std::map<std::string, Writer> writers = {
      {"stripe_objects", {delete_object, write_object}},
      {"stripe_customer_links", {delete_link, write_link}},
      {"user_subscriptions", {delete_subscription, write_subscription}},
      {"audit_logs", {delete_audit, write_audit}},
      {"stripe_entitlements", {delete_entitlements, write_entitlements}},
      {"payments", {delete_payment, write_payment}},
      {"enrollments", {delete_enrollment, write_enrollment}}};
  const Writer& writer = writers.at(difference.table);
  if (!difference.stored.is_null() && writer.erase.run(to_text(difference.key), difference.version).empty())
    return false;
  if (!difference.rebuilt.is_null()) {
    Json row = difference.rebuilt;
    for (const std::string& column : kIncidental)
      if (column != "updated_at" && difference.stored.is_object() && difference.stored.contains(column))
        row[column] = difference.stored[column];
    if (writer.write.run(to_text(row)).empty()) return false;
  }
  return difference.repaired = true;
}

// What waits for a lock, or for an object that has come by now, has not taken its full effect yet: with the
// part's locks held it does now.
void apply_deferred(const Part& part, const Settings& settings) {
  std::vector<std::string> keys, due;
  {
    const pg::Rows rows = read_deferred.run(texts(part.customers));
    for (std::size_t i = 0; i < rows.size(); ++i) keys.push_back(rows.text(i, 0));
  }
  BatchOptions options;
  options.wait_for_locks = true;
  std::vector<inbox::Stored> deferred = inbox::claim_waiting(keys);
  apply_stored(deferred, settings, options);
  {
    const pg::Rows rows = read_due.run(texts(part.customers));
    for (std::size_t i = 0; i < rows.size(); ++i) due.push_back(rows.text(i, 0));
  }
  std::vector<inbox::Stored> late = inbox::claim(due);
  apply_stored(late, settings, options);
}

}  // namespace

std::vector<Difference> compare(const Part& part, const Settings& settings,
                                const std::optional<std::set<std::string>>& known, bool* passed_over) {
  const Snapshot before = read(part, ids_of(read_events(part, known, passed_over)));
  // Read again after the tables, so that what came in between is at worst found missing there, never extra.
  return differences(before, rebuilt(part, read_events(part, known, passed_over), settings));
}

std::vector<Difference> repair(const Part& part, const Settings& settings) {
  std::vector<Difference> repaired, missing_grants;
  std::set<std::string> users;
  int looks = 0;
  for (bool again = true; again;) {
    again = false;
    lock_links.run(texts(part.customers));
    lock_objects.run(texts(part.customers), texts(part.objects));
    const Ids known = ids_of(read_events(part, std::nullopt, nullptr));
    apply_deferred(part, settings);
    bool passed_over = false;
    std::vector<Difference> found = compare(part, settings, known, &passed_over);
    // Whoever looked at a second's events together has seen those too. Not for ever: more may come each time.
    again = passed_over && !found.empty() && ++looks < kMaxLooks;
    if (again) continue;
    for (const Difference& one : found)
      for (const Json* row : {&one.stored, &one.rebuilt})
        if (const auto user = text_of(*row, "user_id")) users.insert(*user);
    links::lock_users(users, true);
    // Links first: everything of a user follows from them.
    std::stable_partition(found.begin(), found.end(),
                          [](const Difference& one) { return one.table == "stripe_customer_links"; });
    missing_grants.clear();
    for (Difference& one : found) {
      if (one.table == kCreditGrants) {
        missing_grants.push_back(std::move(one));
        continue;
      }
      again = !write(one);
      if (again) break;
      repaired.push_back(std::move(one));
    }
  }
  if (!missing_grants.empty()) {
    follow_credits(part.customers, settings);
    std::map<std::string, Json> granted;
    for (const auto& [key, row] : read(part, {}))
      if (key.first == kCreditGrants) granted[to_text(parse_json(key.second))] = row.image;
    for (Difference& one : missing_grants) {
      const auto grant = granted.find(to_text(one.key));
      // Otherwise somebody has granted it by hand since.
      if (grant == granted.end()) continue;
      one.rebuilt = grant->second;
      one.repaired = true;
      repaired.push_back(std::move(one));
    }
  }
  std::vector<std::string> linked;
  for (const Difference& one : repaired)
    if (one.table == "stripe_customer_links")
      linked.push_back("customer:" + *text_of(one.key, "stripe_customer_id"));
  inbox::make_due(linked);
  cache::store(users, settings, pg::from_timestamptz(GetCurrentStatementStartTimestamp()));
  return repaired;
}

}  // namespace billing::rebuild
