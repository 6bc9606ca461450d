// What is read from the mirror.
#include "core/fields.hpp"
#include "core/scheduled_change.hpp"
#include "core/test_clock.hpp"
#include "functions/mirror_keys.hpp"
#include "pg/row_reader.hpp"

namespace billing::mirror {

namespace {

pg::Statement read_keys("SELECT o.stripe_account, o.livemode, o.object_type, o.object_id" KEYS_MATCH);
pg::Statement insert_placeholders(
    "INSERT INTO @stripe_objects (stripe_account, livemode, object_type, object_id)"
    " SELECT k.account, k.livemode, k.type, k.id FROM unnest($1, $2, $3, $4) k(account, livemode, type, id)"
    " ON CONFLICT (stripe_account, livemode, object_type, object_id) DO NOTHING");
pg::Statement lock_customers(
    "SELECT o.stripe_account, o.livemode, o.object_type, o.object_id, o.stripe_customer_id" KEYS_MATCH
    " ORDER BY o.stripe_account, o.livemode, o.object_type, o.object_id FOR NO KEY UPDATE OF o");
pg::RowReader events_about("stripe_events", "stripe_events_object_id_idx",
                           "event_type outcome stripe_event_id stripe_created");

pg::Statement read_customers(
    "SELECT o.stripe_account, o.livemode, o.object_type, o.object_id, o.stripe_customer_id"
    " FROM unnest($1, $2, $3, $4) k(account, livemode, type, id) JOIN @stripe_objects o"
    "  ON o.stripe_account = k.account AND o.livemode = k.livemode AND o.object_type = k.type"
    "  AND o.object_id = k.id WHERE o.stripe_customer_id IS NOT NULL");

// A schedule is the one that the subscription names. One that was told of later than the subscription may
// name it, while the subscription does not say so yet: looked for by what it names, and by nothing else that
// an index has, which all schedules share.
pg::Statement read_subscriptions(
    "SELECT CASE WHEN s.event_id = ANY ($4) THEN NULL ELSE s.object END, s.stripe_account, s.livemode,"
    "  s.ambiguous OR coalesce(h.ambiguous, false), s.event_created,"
    "  (SELECT c.deleted FROM @stripe_objects c WHERE c.stripe_account = s.stripe_account"
    "    AND c.livemode = s.livemode AND c.object_type = 'customer' AND c.object_id = s.stripe_customer_id),"
    "  h.object,"
    "  (SELECT jsonb_build_object('test_clock', c.object -> 'test_clock') FROM @stripe_objects c"
    "    WHERE c.stripe_account = s.stripe_account AND c.livemode = s.livemode AND c.object_type = 'customer'"
    "     AND c.object_id = s.stripe_customer_id AND c.object -> 'test_clock' <> 'null'), s.object_id"
    " FROM @stripe_objects s LEFT JOIN LATERAL ("
    "  SELECT n.object, n.ambiguous, n.event_created, n.object_id FROM @stripe_objects n"
    "   WHERE n.stripe_account = s.stripe_account AND n.livemode = s.livemode"
    "    AND n.object_type = 'subscription_schedule' AND n.object_id = CASE jsonb_typeof(s.object -> "
    "'schedule') WHEN 'object' THEN s.object -> 'schedule' ->> 'id' ELSE s.object ->> 'schedule' END"
    "  UNION ALL SELECT n.object, n.ambiguous, n.event_created, n.object_id"
    "   FROM (SELECT * FROM @stripe_objects p WHERE s.object ->> 'schedule' IS NULL"
    "     AND p.parent_id = s.object_id AND p.object_type = 'subscription_schedule' OFFSET 0) n"
    "   WHERE n.stripe_account = s.stripe_account AND n.livemode = s.livemode"
    "    AND n.event_created > s.event_created AND n.object ->> 'subscription' IS NOT NULL"
    "  ORDER BY event_created DESC NULLS LAST, object_id LIMIT 1) h ON true"
    " WHERE s.object_type = 'subscription' AND s.object IS NOT NULL AND s.stripe_customer_id = ANY ($1)"
    "  AND (s.object_id = ANY ($2) OR s.stripe_customer_id = ANY ($3))"
    " ORDER BY s.stripe_customer_id, s.object_id");

}  // namespace

std::set<Key> absent(const std::set<Key>& objects) {
  std::set<Key> rest = objects;
  if (objects.empty()) return rest;
  KeyArrays arrays;
  for (const Key& key : objects) arrays.add(key);
  const pg::Rows rows = read_keys.run(arrays.account, arrays.livemode, arrays.type, arrays.id);
  for (std::size_t i = 0; i < rows.size(); ++i) rest.erase(key_from(rows, i));
  return rest;
}

std::vector<Event> deletions(const std::set<std::string>& customers) {
  std::vector<Event> found;
  for (const std::string& customer : customers) {
    const pg::Rows rows = events_about.find({pg::parameter(customer)});
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (rows.view(i, 0) != "customer.deleted" || rows.view(i, 1) != "processed") continue;
      Event event;
      event.type = "customer.deleted";
      event.object = Json::object();
      event.object_type = "customer";
      event.object_id = event.customer_id = customer;
      event.id = rows.text(i, 2);
      event.created = rows.maybe_seconds(i, 3).value_or(0);
      found.push_back(std::move(event));
    }
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

pg::Texts event_ids(const Snapshots& brought, std::string_view type) {
  pg::Texts ids;
  for (const auto& [key, event] : brought)
    if (key.type == type) ids.push_back(event->id);
  return ids;
}

std::vector<Subscription> subscriptions(const Touched& touched, const Snapshots& brought) {
  if (touched.subscriptions.empty() && touched.whole_customers.empty()) return {};
  const pg::Rows rows =
      read_subscriptions.run(pg::texts(touched.customers), pg::texts(touched.subscriptions),
                             pg::texts(touched.whole_customers), event_ids(brought, "subscription"));
  std::vector<Subscription> found;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Key key{rows.text(i, 1), rows.flag(i, 2), "subscription", rows.text(i, 8)};
    Subscription one =
        rows.null(i, 0) ? read_subscription(brought.at(key)->object) : read_subscription(rows.document(i, 0));
    one.account = rows.text(i, 1);
    one.livemode = rows.flag(i, 2);
    one.ambiguous = rows.flag(i, 3);
    one.event_created = rows.maybe_seconds(i, 4).value_or(0);
    one.customer_deleted = !rows.null(i, 5) && rows.flag(i, 5);
    if (!rows.null(i, 6))
      if (Json change = change_by_schedule(rows.document(i, 6)); !change.is_null())
        one.scheduled_change = std::move(change);
    if (one.test_clock.empty() && !rows.null(i, 7)) one.test_clock = test_clock_of(rows.document(i, 7));
    found.push_back(std::move(one));
  }
  return found;
}

}  // namespace billing::mirror
