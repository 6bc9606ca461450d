#include "functions/cache.hpp"

#include <algorithm>
#include <deque>

#include "functions/access_grants.hpp"
#include "functions/arguments.hpp"
#include "functions/awaited_subscriptions.hpp"
#include "functions/holdings.hpp"
#include "functions/links.hpp"
#include "functions/subscriptions.hpp"
#include "functions/test_clocks.hpp"
#include "pg/row_reader.hpp"
#include "pg/shared_memory.hpp"
#include "pg/spi.hpp"

namespace billing::cache {

namespace {

pg::Statement upsert(
    "INSERT INTO @subscription_cache (user_id, status, has_access, state, valid_from, valid_until, "
    "generation,"
    "  cached_at, expires_at, frozen_time, plans)"
    " SELECT r.user_id, r.status, r.has_access, r.state, r.valid_from, r.valid_until, $8, $9, $10, "
    "r.frozen_time, r.plans"
    " FROM unnest($1, $2, $3, $4, $5, $6, $7, $11)"
    "  r(user_id, status, has_access, state, valid_from, valid_until, frozen_time, plans)"
    " ON CONFLICT (user_id) DO UPDATE SET status = excluded.status, has_access = excluded.has_access,"
    "  state = excluded.state, valid_from = excluded.valid_from, valid_until = excluded.valid_until,"
    "  generation = excluded.generation, cached_at = excluded.cached_at, expires_at = excluded.expires_at,"
    "  frozen_time = excluded.frozen_time, plans = excluded.plans");

pg::RowReader stored_of("subscription_cache", "subscription_cache_pkey",
                        "valid_from valid_until expires_at generation frozen_time");
pg::RowReader due_of("billing_users", "billing_users_pkey", "access_due_at");

// Those who are on a test clock never stand.
bool stands(const std::string& user_id, const Settings& settings, Instant now) {
  const pg::Rows stored = stored_of.find({pg::parameter(user_id)});
  if (stored.empty() || stored.number(0, 3) != settings.generation || !stored.null(0, 4)) return false;
  if (now < stored.number(0, 0) || now >= stored.number(0, 1) || now >= stored.number(0, 2)) return false;
  const pg::Rows anchor = due_of.find({pg::parameter(user_id)});
  return !anchor.empty() && (anchor.null(0, 0) || anchor.number(0, 0) > now);
}

Computed computed_from(const std::string& user_id, const std::vector<Subscription>& subscriptions,
                       const std::vector<AccessGrant>& grants, bool awaited, const AccessRules& rules,
                       Instant now) {
  Computed made;
  made.state = judge_user(subscriptions, rules, now, grants, awaited);
  made.status = made.state.effective.state;
  made.json = state_json(user_id, subscriptions, made.state);
  made.json["credits"] = {{"balance", 0}, {"held", 0}, {"available", 0}};
  made.json["cached"] = false;
  made.json["cached_at"] = nullptr;
  made.json["expires_at"] = nullptr;
  return made;
}

}  // namespace

Computed compute(const std::string& user_id, const Settings& settings, Instant now) {
  const std::vector<Subscription> owned = subscriptions::read(user_id, settings.live);
  Computed made = computed_from(user_id, owned, access_grants::read(user_id),
                                awaited::read(user_id, settings.live), settings.access, now);
  for (const auto& [user, time] : test_clocks::times({user_id}, settings.access)) made.frozen_time = time;
  return made;
}

Computed compute_at(const std::string& user_id, const Settings& settings, Instant as_of) {
  const std::vector<Subscription> owned = subscriptions::read(user_id, settings.live);
  return computed_from(user_id, owned, access_grants::read(user_id), awaited::read(user_id, settings.live),
                       settings.access.without_clocks(), as_of);
}

void refuse_snapshots() {
  if (IsolationUsesXactSnapshot())
    throw pg::SqlError(ERRCODE_ACTIVE_SQL_TRANSACTION, "the cache cannot be written at this isolation level",
                       "Use READ COMMITTED: what is stored must be what is newest.");
}

std::set<std::string> outdated(const std::set<std::string>& users, const std::set<std::string>& changed,
                               const Settings& settings, Instant now) {
  std::set<std::string> found;
  for (const std::string& user : users)
    if (changed.count(user) > 0 || !stands(user, settings, now)) found.insert(user);
  return found;
}

void store(const std::set<std::string>& users, const Settings& settings, Instant now,
           const notifications::Occasion& occasion) {
  if (users.empty()) return;
  auto owned = subscriptions::read(users, settings.live);
  std::map<std::string, notifications::Anchor> anchors;
  auto granted = access_grants::read(users, anchors);
  notifications::AccessTeller teller(occasion, settings);
  const std::set<std::string> awaiting = awaited::read(users, settings.live);
  const auto times = test_clocks::times(users, settings.access);
  const Seconds second = now / 1'000'000;
  pg::Texts user_id, status, plans;
  pg::Documents state;
  std::deque<Json> states;
  pg::Flags has_access;
  pg::Times valid_from, valid_until, frozen_time;
  for (const std::string& user : users) {
    Computed made =
        computed_from(user, owned[user], granted[user], awaiting.count(user) > 0, settings.access, now);
    const auto time = times.find(user);
    const auto clock_time = time == times.end() ? std::nullopt : std::optional(time->second);
    teller.judge(user, anchors[user], made.json, made.state, owned[user], granted[user], now, clock_time);
    made.json["cached"] = true;
    made.json["cached_at"] = iso_time(second);
    made.json["expires_at"] = iso_time(second + settings.cache_ttl);
    user_id.push_back(user);
    status.push_back(made.status);
    state.push_back(&states.emplace_back(std::move(made.json)));
    has_access.push_back(made.state.effective.has_access ? 1 : 0);
    valid_from.values.push_back(made.state.valid_from);
    valid_until.values.push_back(made.state.valid_until);
    frozen_time.values.push_back(clock_time);
    plans.push_back(holdings::stored_text(owned[user], made.state, granted[user], settings));
  }
  upsert.run(user_id, status, has_access, state, valid_from, valid_until, frozen_time, settings.generation,
             pg::Time{now}, pg::Time{now + instant(settings.cache_ttl)}, plans);
  teller.write();
}

}  // namespace billing::cache

using namespace billing;

namespace {

Instant now_instant() { return pg::from_timestamptz(GetCurrentStatementStartTimestamp()); }

pg::Statement known_users("SELECT u.user_id FROM @billing_users u WHERE u.user_id = ANY ($1)");

}  // namespace

PG_BILLING_FUNCTION(update_subscription_cache) {
  const std::string user_id = user_argument(fcinfo, 0);
  const Oid schema = pg::function_schema(fcinfo);
  cache::refuse_snapshots();
  Json json;
  {
    pg::Session session(schema, pg::Session::Access::read_write);
    links::lock_users({user_id}, true);
    const Settings& rules = settings(schema);
    cache::store({user_id}, rules, now_instant());
    json = cache::compute(user_id, rules, now_instant()).json;
  }
  return jsonb_datum(to_text(json));
}

PG_BILLING_FUNCTION(refresh_subscription_cache) {
  const int limit = limit_argument(fcinfo, 0, "max_rows", 10000);
  const Oid schema = pg::function_schema(fcinfo);
  cache::refuse_snapshots();
  std::set<std::string> noted;
  char names[64][256];
  while (static_cast<int>(noted.size()) < limit) {
    const int wanted = std::min<int>(64, limit - static_cast<int>(noted.size()));
    const int taken = pg::guard([&] { return pg::take_noted_users(names, wanted); });
    if (taken == 0) break;
    for (int i = 0; i < taken; ++i) noted.insert(names[i]);
  }
  if (noted.empty()) PG_RETURN_INT32(0);
  int stored = 0;
  {
    pg::Session session(schema, pg::Session::Access::read_write);
    // Anybody may ask for any user id: only users that are known get a row.
    const pg::Rows rows = known_users.run(pg::Texts(noted.begin(), noted.end()));
    std::set<std::string> known;
    for (std::size_t i = 0; i < rows.size(); ++i) known.insert(rows.text(i, 0));
    const std::set<std::string> locked = links::lock_users(known, false);
    cache::store(locked, settings(schema), now_instant());
    stored = static_cast<int>(locked.size());
  }
  PG_RETURN_INT32(stored);
}

PG_BILLING_FUNCTION(cache_counters) {
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  const bool ready = pg::cache_counters(&hits, &misses);
  return pg::guard([&] {
    TupleDesc description = nullptr;
    if (get_call_result_type(fcinfo, nullptr, &description) != TYPEFUNC_COMPOSITE)
      ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("a record cannot be returned here")));
    Datum values[2] = {Int64GetDatum(static_cast<int64>(hits)), Int64GetDatum(static_cast<int64>(misses))};
    bool nulls[2] = {!ready, !ready};
    return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(description), values, nulls));
  });
}
