// notify_due: what time alone makes of users' access.
#include <set>

#include "functions/arguments.hpp"
#include "functions/cache.hpp"
#include "pg/spi.hpp"

using namespace billing;

namespace {

// Those that somebody is writing are looked at by whoever does, or next time.
pg::Statement claim_due(
    "SELECT u.user_id FROM @billing_users u WHERE u.access_due_at <= $1 ORDER BY u.access_due_at LIMIT $2"
    " FOR NO KEY UPDATE SKIP LOCKED");
// What nobody fetched in time is no news any more.
pg::Statement give_up(
    "UPDATE @billing_notifications n SET status = 'failed', finished_at = clock_timestamp(), lease_until = "
    "NULL,"
    "  error = coalesce(n.error || '; ', '') || 'given up after notify_limit'"
    " FROM (SELECT d.user_id, d.notification_id FROM @billing_notifications d"
    "  WHERE d.status = 'pending' AND d.created_at < $1 - $2::interval AND d.next_attempt_at <= $1"
    "  ORDER BY d.created_at LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED) k"
    " WHERE n.user_id = k.user_id AND n.notification_id = k.notification_id RETURNING n.user_id");

std::string limit_of_news(Oid schema) {
  for (const auto& [name, value] : setting_values(schema))
    if (name == "notify_limit") return value;
  return "7 days";
}

}  // namespace

PG_BILLING_FUNCTION(notify_due) {
  const int limit = limit_argument(fcinfo, 0, "max_rows", 10000);
  const Oid schema = pg::function_schema(fcinfo);
  cache::refuse_snapshots();
  const std::string limit_of_age = limit_of_news(schema);
  std::size_t done = 0;
  {
    pg::Session session(schema, pg::Session::Access::read_write);
    const Settings& rules = settings(schema);
    const Instant now = pg::from_timestamptz(GetCurrentStatementStartTimestamp());
    std::set<std::string> users;
    const pg::Rows rows = claim_due.run(pg::Time{now}, limit);
    for (std::size_t i = 0; i < rows.size(); ++i) users.insert(rows.text(i, 0));
    cache::store(users, rules, now);
    done = users.size() + give_up.run(pg::Time{now}, limit_of_age, limit).size();
  }
  PG_RETURN_INT32(static_cast<int>(done));
}
