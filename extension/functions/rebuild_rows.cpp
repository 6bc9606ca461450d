// The rows that a rebuild compares: what belongs to a part, emptied and written one by one.
#include "functions/rebuild_rows.hpp"

#include <map>
#include <set>

#include "functions/rebuild_credits.hpp"
#include "pg/spi.hpp"

namespace billing::rebuild {

namespace {

// The columns that name a row of each table.
#define KEY_OBJECT "stripe_account, livemode, object_type, object_id"
#define KEY_LINK "stripe_customer_id"
#define KEY_AWAITED "user_id, stripe_subscription_id"
#define KEY_SUBSCRIPTION "user_id, stripe_subscription_id"
#define KEY_AUDIT "user_id, fact"
#define KEY_ENTITLEMENTS "stripe_account, livemode, stripe_customer_id"
#define KEY_PAYMENT "user_id, payment_id"
#define KEY_ENROLLMENT "user_id, item_id, payment_id"
#define KEY_TRIAL "user_id, stripe_subscription_id"

#define USERS " (SELECT l.user_id FROM @stripe_customer_links l WHERE l.stripe_customer_id = ANY ($1))"
// Table, key, image, and the version of a row: whoever changes the row changes it.
#define READ_ROWS(table, key, where)                          \
  "SELECT '" table "', (SELECT to_jsonb(k) FROM (SELECT " key \
  ") k)::text, to_jsonb(t)::text, t.xmin::text"               \
  " FROM @" table " t WHERE " where

// $1 customers, $2 ids of objects, $3 ids of events.
pg::Statement read_part(
    READ_ROWS("stripe_objects", KEY_OBJECT, PART_OBJECTS("t"))
    " UNION ALL " READ_ROWS("stripe_customer_links", KEY_LINK, "t.stripe_customer_id = ANY ($1)")
    " UNION ALL " READ_ROWS("user_subscriptions", KEY_SUBSCRIPTION,
                            "t.user_id IN" USERS " AND t.stripe_customer_id = ANY ($1)")
    " UNION ALL " READ_ROWS("awaited_subscriptions", KEY_AWAITED,
                            "t.user_id IN" USERS " AND t.stripe_customer_id = ANY ($1)")
    " UNION ALL " READ_ROWS("audit_logs", KEY_AUDIT, "t.user_id IN" USERS " AND t.event_id = ANY ($3)")
    " UNION ALL " READ_ROWS("stripe_entitlements", KEY_ENTITLEMENTS, "t.stripe_customer_id = ANY ($1)")
    " UNION ALL " READ_ROWS("payments", KEY_PAYMENT, "t.stripe_customer_id = ANY ($1)")
    " UNION ALL " READ_ROWS("enrollments", KEY_ENROLLMENT,
                            "EXISTS (SELECT FROM @payments p WHERE p.user_id = t.user_id"
                            " AND p.payment_id = t.payment_id AND p.stripe_customer_id = ANY ($1))")
    " UNION ALL " READ_ROWS("trial_usage", KEY_TRIAL,
                            "t.user_id IN" USERS " AND t.stripe_customer_id = ANY ($1)")
    " UNION ALL SELECT 'credit_grants', g.key, g.image, g.version FROM (" GRANTS_OF_CUSTOMERS
    ") g(key, image, version)");

// Links stay, and the entries that tell of them, and what summaries of entitlements have told: replaying adds
// what is not there. Placeholders, what other objects' events told of an object,
// and objects whose payload is gone stay: there is nothing of their own to rebuild them from.
pg::Statement empty_objects("DELETE FROM @stripe_objects o WHERE o.finality >= 0 AND" PART_OBJECTS(
    "o") " AND EXISTS (SELECT FROM @stripe_event_payloads p WHERE "
         "p.stripe_event_id = o.event_id"
         "  AND p.stripe_created = o.event_created)");
pg::Statement empty_subscriptions(
    "DELETE FROM @user_subscriptions u WHERE u.stripe_customer_id = ANY ($1) AND u.user_id IN" USERS);
pg::Statement empty_awaited(
    "DELETE FROM @awaited_subscriptions w WHERE w.stripe_customer_id = ANY ($1) AND w.user_id IN" USERS);
pg::Statement empty_enrollments(
    "DELETE FROM @enrollments e USING @payments p WHERE p.stripe_customer_id = ANY ($1)"
    " AND e.user_id = p.user_id AND e.payment_id = p.payment_id");
pg::Statement empty_payments("DELETE FROM @payments p WHERE p.stripe_customer_id = ANY ($1)");
// A trial outlives its subscription: only where everything from the beginning is stored still is there
// something to rebuild it from.
pg::Statement empty_trials(
    "DELETE FROM @trial_usage t WHERE t.stripe_customer_id = ANY ($1) AND t.user_id IN" USERS
    " AND EXISTS (SELECT FROM @stripe_events e JOIN @stripe_event_payloads p"
    "   ON p.stripe_event_id = e.stripe_event_id AND p.stripe_created = e.stripe_created"
    "  WHERE e.object_id = t.stripe_subscription_id AND e.event_type = 'customer.subscription.created'"
    "   AND " HAD_EFFECT ")");
pg::Statement empty_audit(
    "DELETE FROM @audit_logs a WHERE a.event_id = ANY ($2) AND a.actor = 'stripe' AND a.action <> "
    "'customer_linked' AND a.user_id IN" USERS);

// Row by row, from its image. Only the version that was looked at is erased.
#define ERASE_ROW(table, key)                                                                           \
  "DELETE FROM @" table " t WHERE (" key ") = (SELECT " key " FROM jsonb_populate_record(NULL::@" table \
  ", $1::jsonb)) AND t.xmin::text = $2 RETURNING 1"
#define WRITE_ROW(table)                                               \
  "INSERT INTO @" table " SELECT (jsonb_populate_record(NULL::@" table \
  ", $1::jsonb)).* ON CONFLICT DO NOTHING RETURNING 1"
// All but what is computed from the others.
#define OBJECT_COLUMNS(t)                                                                          \
  t "stripe_account, " t "livemode, " t "object_type, " t "object_id, " t "stripe_customer_id, " t \
    "parent_id, " t "object, " t "api_version, " t "deleted, " t "ambiguous, " t "paid_until, " t  \
    "finality, " t "event_created, " t "origin, " t "lifecycle, " t "event_id, " t "updated_at"
constexpr const char* kWriteObject =
    "INSERT INTO @stripe_objects (" OBJECT_COLUMNS("") ") SELECT " OBJECT_COLUMNS("r.")
    " FROM jsonb_populate_record(NULL::@stripe_objects, $1::jsonb) r ON CONFLICT DO NOTHING RETURNING 1";
#undef OBJECT_COLUMNS

struct Writer {
  pg::Statement erase;
  pg::Statement write;
};
#define WRITER(table, key)                                                           \
  {                                                                                  \
    table, { pg::Statement(ERASE_ROW(table, key)), pg::Statement(WRITE_ROW(table)) } \
  }
std::map<std::string, Writer> writers = {
    {"stripe_objects", {pg::Statement(ERASE_ROW("stripe_objects", KEY_OBJECT)), pg::Statement(kWriteObject)}},
    WRITER("stripe_customer_links", KEY_LINK),
    WRITER("user_subscriptions", KEY_SUBSCRIPTION),
    WRITER("awaited_subscriptions", KEY_AWAITED),
    WRITER("audit_logs", KEY_AUDIT),
    WRITER("stripe_entitlements", KEY_ENTITLEMENTS),
    WRITER("payments", KEY_PAYMENT),
    WRITER("enrollments", KEY_ENROLLMENT),
    WRITER("trial_usage", KEY_TRIAL)};

// Columns that say when and by whom a row was written, not what it says.
const std::set<std::string> kIncidental = {"updated_at", "created_at", "linked_at", "linked_by"};

Json essence(Json row) {
  for (const std::string& column : kIncidental) row.erase(column);
  return row;
}

}  // namespace

Snapshot read(const Part& part, const std::set<std::string>& events) {
  Snapshot rows_by_key;
  const pg::Rows rows = read_part.run(texts(part.customers), texts(part.objects), pg::texts(events));
  for (std::size_t i = 0; i < rows.size(); ++i)
    rows_by_key[{rows.text(i, 0), rows.text(i, 1)}] = Row{parse_json(rows.view(i, 2)), rows.text(i, 3)};
  return rows_by_key;
}

void empty(const Part& part, const std::set<std::string>& events) {
  const pg::Texts customers = texts(part.customers);
  empty_objects.run(customers, texts(part.objects));
  empty_subscriptions.run(customers);
  empty_awaited.run(customers);
  empty_enrollments.run(customers);
  empty_payments.run(customers);
  empty_trials.run(customers);
  empty_audit.run(customers, pg::texts(events));
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

bool write(Difference& difference) {
  Writer& writer = writers.at(difference.table);
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

}  // namespace billing::rebuild
