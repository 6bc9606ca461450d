#include "functions/usage_store.hpp"

#include <algorithm>

#include "pg/row_reader.hpp"
#include "pg/spi.hpp"
#include "pg/time_zone.hpp"

namespace billing::usage {

namespace {

#define WINDOW_COLUMNS                                                                              \
  "SELECT w.feature, w.kind, w.window_start, w.window_end, w.time_zone, w.used, w.updated_at FROM " \
  "@usage_windows w WHERE w.user_id = $1"
// A unit of the calendar that is over matters for as long as the next one may be: that one may have to begin
// later, when the time zone has changed. A period may turn out longer than it was told, up to Stripe's
// longest.
pg::Statement select_recent(
    WINDOW_COLUMNS
    " AND ($2 = '' OR w.feature = $2) AND (w.window_end IS NULL OR w.window_end > $3 - CASE w.kind"
    "  WHEN 'day' THEN '3 days' WHEN 'week' THEN '9 days' WHEN 'month' THEN '33 days' WHEN 'year' THEN '368 "
    "days'"
    "  ELSE '1100 days' END::interval) ORDER BY w.window_start");
pg::Statement lock_last(WINDOW_COLUMNS
                        " AND w.feature = $2 ORDER BY w.window_start DESC LIMIT 1 FOR NO KEY UPDATE");
pg::Statement lock_one(WINDOW_COLUMNS " AND w.feature = $2 AND w.window_start = $3 FOR NO KEY UPDATE");
#undef WINDOW_COLUMNS
pg::Statement insert_window(
    "INSERT INTO @usage_windows (user_id, feature, window_start, window_end, kind, time_zone, "
    "limit_at_opening, opened_at, updated_at)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT DO NOTHING");
pg::Statement count_use(
    "WITH counted AS (UPDATE @usage_windows w SET used = w.used + $4, window_end = $5, kind = $6,"
    "  time_zone = $7, updated_at = $8"
    "  WHERE w.user_id = $1 AND w.feature = $2 AND w.window_start = $3 RETURNING w.used)"
    " INSERT INTO @usage_records (user_id, feature, window_start, amount, used_after, refers_to,"
    "  transaction_id, actor_id, idempotency_key, metadata, created_at)"
    " SELECT $1, $2, $3, $4, c.used, $9, $10, $11, $12, $13::jsonb, $8 FROM counted c"
    " RETURNING record_id, used_after");
pg::Statement select_use(
    "SELECT r.feature, r.window_start, r.amount, r.amount + coalesce((SELECT sum(b.amount)"
    "  FROM @usage_records b WHERE b.user_id = r.user_id AND b.refers_to = r.record_id), 0)::bigint"
    " FROM @usage_records r WHERE r.user_id = $1 AND r.record_id = $2");

pg::RowReader windows_of("usage_windows", "usage_windows_pkey",
                         "feature kind window_start window_end time_zone used updated_at");

// How long a window that is over matters, as above.
Instant remembered(std::string_view kind) {
  const int days = kind == "day"     ? 3
                   : kind == "week"  ? 9
                   : kind == "month" ? 33
                   : kind == "year"  ? 368
                                     : 1100;
  return instant(days * Seconds{86400});
}

std::optional<std::string> unless_empty(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

pg::Time end_of(const UsageWindow& window) {
  return pg::Time{window.end == kEndOfTime ? std::nullopt : std::optional(window.end)};
}

Row row_from(const pg::Rows& rows, std::size_t i) {
  Row row;
  row.feature = rows.text(i, 0);
  row.window.kind = rows.text(i, 1);
  row.window.start = rows.number(i, 2);
  row.window.end = rows.maybe_number(i, 3).value_or(kEndOfTime);
  row.window.zone = rows.text(i, 4);
  row.used = rows.number(i, 5);
  row.updated_at = rows.number(i, 6);
  return row;
}

}  // namespace

std::vector<Row> read(const std::string& user_id, const std::string& feature, Instant now) {
  std::vector<Row> found;
  if (feature.empty() || !windows_of.usable()) {
    const pg::Rows rows = select_recent.run(user_id, feature, pg::Time{now});
    for (std::size_t i = 0; i < rows.size(); ++i) found.push_back(row_from(rows, i));
    return found;
  }
  const pg::Rows rows = windows_of.find({pg::parameter(user_id), pg::parameter(feature)});
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (rows.null(i, 3) || rows.number(i, 3) > now - remembered(rows.view(i, 1)))
      found.push_back(row_from(rows, i));
  return found;
}

Counter counter_of(const Entitlement& entitlement, const std::vector<Row>& rows, const Settings& settings,
                   Instant now) {
  const pg::TimeZone zone(settings.time_zone);
  const OffsetAt offset_at = [&](Seconds seconds) { return zone.offset_at(seconds); };
  Counter counter;
  counter.window = window_of(entitlement, settings.time_zone, offset_at, now);
  const std::string& feature = entitlement.feature.name;
  std::optional<UsageWindow> last;
  for (const Row& row : rows)
    if (row.feature == feature && row.window.kind == counter.window.kind && row.window.start <= now)
      last = row.window;
  counter.window = window_after(counter.window, last, now);
  for (const Row& row : rows)
    if (row.feature == feature && row.window.start == counter.window.start) counter.used = row.used;
  return counter;
}

std::optional<Row> lock_newest(const std::string& user_id, const std::string& feature) {
  const pg::Rows rows = lock_last.run(user_id, feature);
  return rows.empty() ? std::nullopt : std::optional(row_from(rows, 0));
}

std::optional<Row> lock(const std::string& user_id, const std::string& feature, Instant window_start) {
  const pg::Rows rows = lock_one.run(user_id, feature, pg::Time{window_start});
  return rows.empty() ? std::nullopt : std::optional(row_from(rows, 0));
}

Row open(const std::string& user_id, const std::string& feature, const UsageWindow& window,
         std::optional<std::int64_t> limit, Instant now) {
  insert_window.run(user_id, feature, pg::Time{window.start}, end_of(window), window.kind,
                    unless_empty(window.zone), limit, pg::Time{now});
  const std::optional<Row> row = lock(user_id, feature, window.start);
  if (!row)
    throw pg::SqlError(ERRCODE_T_R_SERIALIZATION_FAILURE, "a window of usage was removed while it was opened",
                       "Run the transaction again.");
  return *row;
}

Counted count(const std::string& user_id, const std::string& feature, const UsageWindow& window,
              const Record& record, Instant now) {
  const pg::Rows rows = count_use.run(user_id, feature, pg::Time{window.start}, record.amount, end_of(window),
                                      window.kind, unless_empty(window.zone), pg::Time{now}, record.refers_to,
                                      record.transaction_id, unless_empty(record.actor_id),
                                      unless_empty(record.idempotency_key), to_text(record.metadata));
  if (rows.empty()) throw pg::SqlError(ERRCODE_INTERNAL_ERROR, "a locked window of usage is not there");
  return {rows.number(0, 0), rows.number(0, 1)};
}

std::optional<Use> find_use(const std::string& user_id, std::int64_t record_id) {
  const pg::Rows rows = select_use.run(user_id, record_id);
  if (rows.empty()) return std::nullopt;
  return Use{rows.text(0, 0), rows.number(0, 1), rows.number(0, 2), rows.number(0, 3)};
}

}  // namespace billing::usage
