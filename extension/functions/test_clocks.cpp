#include "functions/test_clocks.hpp"

#include <algorithm>

#include "functions/cache.hpp"
#include "functions/links.hpp"
#include "functions/plan_store.hpp"
#include "pg/owner.hpp"
#include "pg/spi.hpp"

namespace billing::test_clocks {

namespace {

#define CLOCKS                                                                                  \
  "SELECT o.object_id, o.object::text, o.deleted FROM @stripe_objects o WHERE o.object_type = " \
  "'test_helpers.test_clock' AND NOT o.livemode"
pg::Statement select_clocks(CLOCKS);
pg::Statement select_clocks_of(CLOCKS " AND o.object_id = ANY ($1)");
#undef CLOCKS
// Which clocks the users are on, and a time that has certainly come there: when Stripe has made something, it
// did so by then.
pg::Statement select_times(
    "SELECT s.user_id, s.test_clock, greatest(s.stripe_created, s.current_period_start, s.trial_start,"
    "  s.canceled_at, s.ended_at) FROM @user_subscriptions s"
    " WHERE s.user_id = ANY ($1) AND NOT s.livemode AND s.test_clock IS NOT NULL"
    " UNION ALL SELECT l.user_id, CASE jsonb_typeof(o.object -> 'test_clock') WHEN 'string'"
    "   THEN o.object ->> 'test_clock' ELSE o.object -> 'test_clock' ->> 'id' END,"
    "  max(@stripe_time(o.object -> 'created'))"
    " FROM @stripe_customer_links l JOIN @stripe_objects o ON o.stripe_customer_id = l.stripe_customer_id"
    "  AND o.object_type IN ('customer', 'subscription', 'invoice') AND NOT o.livemode"
    "  AND o.object -> 'test_clock' <> 'null'"
    " WHERE l.user_id = ANY ($1) GROUP BY 1, 2");
// Stripe lets few customers share a clock; where there are more, some are enough for one transaction.
pg::Statement select_users(
    "SELECT DISTINCT s.user_id FROM @user_subscriptions s WHERE s.test_clock = ANY ($1) AND NOT s.livemode"
    " ORDER BY s.user_id LIMIT 200");

TestClocks clocks_from(const pg::Rows& rows) {
  TestClocks clocks;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Json object = rows.null(i, 1) ? Json(nullptr) : parse_json(rows.view(i, 1));
    clocks.emplace(rows.text(i, 0), read_test_clock(object, rows.flag(i, 2)));
  }
  return clocks;
}

Oid mirror_table(Oid schema) {
  return pg::guard([&] { return get_relname_relid("stripe_objects", schema); });
}

}  // namespace

std::shared_ptr<const TestClocks> load(Oid schema) {
  const Oid table = mirror_table(schema);
  if (table == InvalidOid) return nullptr;
  pg::Session session(schema, pg::Session::Access::read_only);
  const pg::AsOwnerNow now(table);
  return std::make_shared<const TestClocks>(clocks_from(select_clocks.run()));
}

std::map<std::string, Instant> times(const std::set<std::string>& users, const AccessRules& rules) {
  std::map<std::string, Instant> found;
  if (!rules.clocks || rules.clocks->empty() || users.empty()) return found;
  const pg::AsOwner owner(mirror_table(pg::Session::current().schema()));
  const pg::Rows rows = select_times.run(pg::texts(users));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto clock = rules.clocks->find(rows.text(i, 1));
    if (clock == rules.clocks->end()) continue;
    const Seconds time = shown_by(clock->second, rows.maybe_seconds(i, 2).value_or(0));
    Instant& latest = found.emplace(rows.text(i, 0), kBeginningOfTime).first->second;
    latest = std::max(latest, instant(time));
  }
  return found;
}

Instant time_of(const std::string& user_id, const AccessRules& rules, Instant now) {
  const auto found = times({user_id}, rules);
  return found.empty() ? now : found.begin()->second;
}

std::set<mirror::Key> named_by(const std::vector<Work*>& works) {
  std::set<mirror::Key> named;
  for (const Work* work : works) {
    const Event& event = *work->event;
    const std::string clock = event.livemode ? "" : test_clock_of(event.object);
    if (!clock.empty() && clock.size() <= kMaxIdBytes)
      named.insert({event.account, false, std::string(kTestClock), clock});
  }
  return named;
}

std::set<std::string> learn(const std::vector<Work*>& works, Settings& settings) {
  std::set<std::string> told, moved;
  if (settings.live) return moved;
  TestClocks clocks = settings.access.clocks ? *settings.access.clocks : TestClocks{};
  for (const mirror::Key& key : named_by(works))
    if (clocks.count(key.id) == 0) told.insert(key.id);
  for (const Work* work : works)
    if (work->event->object_type == kTestClock && !work->event->thin) told.insert(work->event->object_id);
  if (told.empty()) return moved;
  const TestClocks fresh = clocks_from(select_clocks_of.run(pg::texts(told)));
  for (const auto& [id, clock] : fresh) {
    const auto known = clocks.find(id);
    if (known != clocks.end() && known->second == clock) continue;
    clocks[id] = clock;
    moved.insert(id);
  }
  if (!moved.empty()) settings.access.clocks = std::make_shared<const TestClocks>(std::move(clocks));
  return moved;
}

void announce(const std::set<std::string>& moved, const Settings& settings, Instant now) {
  if (moved.empty()) return;
  std::set<std::string> users;
  const pg::Rows rows = select_users.run(pg::texts(moved));
  for (std::size_t i = 0; i < rows.size(); ++i) users.insert(rows.text(i, 0));
  const std::set<std::string> free = links::lock_users(users, false);
  plan_store::lock();
  Settings changed = settings;
  changed.generation = plan_store::announce(pg::Session::current().schema(), "a test clock was advanced");
  // What somebody else has changed meanwhile is not in our copy.
  if (changed.generation == settings.generation + 1) cache::store(free, changed, now);
}

}  // namespace billing::test_clocks
