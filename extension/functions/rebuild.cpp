#include "functions/rebuild.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "core/test_clock.hpp"
#include "functions/batch.hpp"
#include "functions/cache.hpp"
#include "functions/inbox.hpp"
#include "functions/links.hpp"
#include "functions/notifications.hpp"
#include "functions/plan_store.hpp"
#include "functions/rebuild_credits.hpp"
#include "functions/rebuild_rows.hpp"
#include "pg/spi.hpp"
#include "pg/subtransaction.hpp"

namespace billing::rebuild {

namespace {

// $1 customers, $2 ids of objects.
#define PART_EVENTS                                                                                  \
  " e.object_id IN (SELECT o.object_id FROM @stripe_objects o WHERE o.stripe_customer_id = ANY ($1)" \
  "  UNION ALL SELECT unnest($2))"

pg::Statement lock_links(
    "SELECT 1 FROM @stripe_customer_links l WHERE l.stripe_customer_id = ANY ($1)"
    " ORDER BY l.stripe_customer_id FOR NO KEY UPDATE");
pg::Statement lock_objects("SELECT 1 FROM @stripe_objects o WHERE" PART_OBJECTS(
    "o") " ORDER BY o.stripe_account, o.livemode, o.object_type, o.object_id FOR NO KEY UPDATE");
pg::Statement read_deferred(
    "SELECT 'link:' || c.id FROM unnest($1) c(id)"
    " UNION ALL SELECT k.kind || l.user_id FROM @stripe_customer_links l, unnest('{user:,credits:}'::text[]) "
    "k(kind)"
    "  WHERE l.stripe_customer_id = ANY ($1) AND l.user_id IS NOT NULL"
    " UNION ALL SELECT e.waiting_for FROM @stripe_events e"
    "  WHERE NOT e.processed AND e.waiting_for LIKE 'lock:%'"
    // Whose customer the event tells and the mirror's row does not yet.
    " UNION ALL SELECT e.waiting_for FROM @stripe_events e"
    "  WHERE NOT e.processed AND e.waiting_for LIKE 'link:%' AND" PART_EVENTS);
// What they waited for has come, or is just coming.
#define DUE " AND NOT e.processed AND e.next_retry_at <= now() + interval '1 minute'"
pg::Statement read_due(
    "SELECT e.stripe_event_id FROM @stripe_events e WHERE e.stripe_customer_id = ANY ($1)"
    "  AND e.waiting_for ~ '^(price|product):'" DUE
    " UNION SELECT e.stripe_event_id FROM @stripe_objects o"
    "  JOIN @stripe_events e ON e.waiting_for = o.object_type || ':' || o.object_id"
    "  WHERE o.stripe_customer_id = ANY ($1) AND o.object_type IN ('charge', 'payment_intent')" DUE);
#undef DUE
pg::Statement read_stored_events(
    "SELECT e.stripe_event_id, p.payload, NOT e.processed AND coalesce(e.waiting_for, '') ~ '^(link|lock):'"
    " FROM @stripe_events e JOIN @stripe_event_payloads p"
    "  ON p.stripe_event_id = e.stripe_event_id AND p.stripe_created = e.stripe_created"
    " WHERE " HAD_EFFECT " AND" PART_EVENTS " ORDER BY e.stripe_created, e.stripe_event_id");

constexpr int kMaxLooks = 20;

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
  const notifications::Silence silence;
  const Ids ids = ids_of(events);
  Snapshot after;
  const auto failure = pg::attempt([&] {
    empty(part, ids);
    replay(part, events, settings);
    after = read(part, ids);
    // Leaves the subtransaction: what it did was only for looking.
    throw pg::SqlError(ERRCODE_SUCCESSFUL_COMPLETION, "");
  });
  if (failure && failure->code != ERRCODE_SUCCESSFUL_COMPLETION) failure->rethrow();
  return after;
}

// What waits for a lock, or for an object that has come by now, has not taken its full effect yet: with the
// part's locks held it does now.
void apply_deferred(const Part& part, const Settings& settings) {
  std::vector<std::string> keys, due;
  {
    const pg::Rows rows = read_deferred.run(texts(part.customers), texts(part.objects));
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
  const notifications::Silence silence;
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
  // What a clock shows is kept with the settings.
  if (std::any_of(repaired.begin(), repaired.end(),
                  [](const Difference& one) { return text_of(one.key, "object_type") == kTestClock; })) {
    plan_store::lock();
    plan_store::announce(pg::Session::current().schema(), "a test clock was rebuilt");
  }
  cache::store(users, settings, pg::from_timestamptz(GetCurrentStatementStartTimestamp()));
  return repaired;
}

}  // namespace billing::rebuild
