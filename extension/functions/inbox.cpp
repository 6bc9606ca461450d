#include "functions/inbox.hpp"

#include <algorithm>
#include <map>

#include "functions/arguments.hpp"
#include "pg/row_reader.hpp"
#include "pg/spi.hpp"

namespace billing::inbox {

namespace {

constexpr std::size_t kMaxWaiting = 200;  // as in claim_waiting_rows
constexpr Seconds kFirstRetry = 10;
constexpr Seconds kLastRetry = 3600;

// 10 s, 20 s, 40 s ... one hour, plus up to a quarter of it, so that many failures do not come back at once.
Seconds backoff(const std::string& id, std::int64_t tries) {
  const Seconds base = std::min(kLastRetry, kFirstRetry << std::min<std::int64_t>(tries, 10));
  return base + static_cast<Seconds>(std::hash<std::string>{}(id + std::to_string(tries)) % (base / 4 + 1));
}

// The changing columns of stripe_events, row by row.
struct Verdicts {
  pg::Texts id, outcome, error, waiting_for;
  pg::Flags processed;
  pg::Numbers tries, retry_in;

  void add(const Work& work, const Settings& settings) {
    const bool done = work.outcome == Outcome::processed || work.outcome == Outcome::ignored;
    std::int64_t count = work.tries;
    std::optional<std::int64_t> wait;
    if (work.outcome == Outcome::failed) {
      count = work.given_up ? std::max(settings.retry_limit, work.tries) : work.tries + 1;
      if (count < settings.retry_limit) wait = backoff(work.id, work.tries);
    } else if (work.outcome == Outcome::parked) {
      count = std::max<std::int64_t>(work.tries, 1);
      wait = work.retry_in > 0 ? work.retry_in : settings.parked_limit;
    }
    id.push_back(work.id);
    outcome.push_back(name_of(work.outcome));
    error.push_back(work.error.empty() ? std::nullopt : std::optional(work.error));
    waiting_for.push_back(work.waiting_for.empty() ? std::nullopt : std::optional(work.waiting_for));
    processed.push_back(done ? 1 : 0);
    tries.push_back(count);
    retry_in.push_back(wait);
  }
};

std::optional<std::string> unless_empty(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

// Without waiting for rows that others hold, and with.
#define COUNT_DUPLICATES(locking)                                                                    \
  "WITH twice AS (SELECT e.stripe_event_id FROM @stripe_events e WHERE e.stripe_event_id = ANY ($1)" \
  " ORDER BY e.stripe_event_id FOR NO KEY UPDATE" locking                                            \
  ")"                                                                                                \
  " UPDATE @stripe_events e SET duplicates = e.duplicates + a.n::integer"                            \
  " FROM twice t JOIN unnest($1, $2) a(id, n) ON a.id = t.stripe_event_id"                           \
  " WHERE e.stripe_event_id = t.stripe_event_id RETURNING e.stripe_event_id"
pg::Statement count_free(COUNT_DUPLICATES(" SKIP LOCKED"));
pg::Statement count_waiting(COUNT_DUPLICATES(""));
#undef COUNT_DUPLICATES

// Returns the arrivals whose row somebody else holds, unless it waits for them.
Arrivals count(const Arrivals& arrivals, pg::Statement& statement) {
  if (arrivals.empty()) return {};
  pg::Texts ids;
  pg::Numbers numbers;
  for (const auto& [id, n] : arrivals) {
    ids.push_back(id);
    numbers.push_back(n);
  }
  Arrivals left = arrivals;
  const pg::Rows rows = statement.run(ids, numbers);
  for (std::size_t i = 0; i < rows.size(); ++i) left.erase(rows.text(i, 0));
  return left;
}

pg::Statement insert_events(
    "INSERT INTO @stripe_events (stripe_event_id, event_type, object_id, object_type, stripe_customer_id,"
    "  stripe_account, livemode, api_version, stripe_created, endpoint, processed, processed_at, outcome, "
    "error,"
    "  retry_count, next_retry_at, waiting_for)"
    " SELECT r.id, r.type, r.object_id, r.object_type, r.customer, r.account, r.livemode, r.version,"
    "  coalesce(r.created, date_trunc('second', now())), r.endpoint, r.processed,"
    "  CASE WHEN r.processed THEN clock_timestamp() END, r.outcome, r.error, r.tries,"
    "  clock_timestamp() + make_interval(secs => r.wait), r.waiting_for"
    " FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
    "  r(id, type, object_id, object_type, customer, account, livemode, version, created, endpoint, "
    "processed,"
    "    outcome, error, tries, wait, waiting_for)"
    " ON CONFLICT (stripe_event_id) DO NOTHING"
    " RETURNING stripe_event_id");

pg::Statement insert_payloads(
    "INSERT INTO @stripe_event_payloads (stripe_event_id, stripe_created, payload)"
    " SELECT r.id, coalesce(r.created, date_trunc('second', now())), r.payload"
    " FROM unnest($1, $2, $3) r(id, created, payload)"
    " ON CONFLICT DO NOTHING");

pg::Statement update_events(
    "UPDATE @stripe_events e"
    " SET processed = r.processed, processed_at = CASE WHEN r.processed THEN clock_timestamp() END,"
    "  outcome = r.outcome,"
    "  error = r.error, retry_count = r.tries, next_retry_at = clock_timestamp() + make_interval(secs => "
    "r.wait),"
    "  waiting_for = r.waiting_for"
    " FROM unnest($1, $2, $3, $4, $5, $6, $7) r(id, processed, outcome, error, tries, wait, waiting_for)"
    " WHERE e.stripe_event_id = r.id");

#define STORED_COLUMNS                                                                  \
  " e.stripe_event_id, p.payload, e.endpoint, e.retry_count, e.created_at, e.processed" \
  " FROM @stripe_events e LEFT JOIN @stripe_event_payloads p"                           \
  "  ON p.stripe_event_id = e.stripe_event_id AND p.stripe_created = e.stripe_created"

pg::Statement claim_due_rows(
    "SELECT" STORED_COLUMNS
    " WHERE NOT e.processed AND e.retry_count < $1"
    "  AND (e.retry_count = 0 OR e.next_retry_at IS NULL OR e.next_retry_at <= now())"
    " ORDER BY e.stripe_created, e.stripe_event_id LIMIT $2 FOR UPDATE OF e SKIP LOCKED");

pg::Statement claim_waiting_rows("SELECT" STORED_COLUMNS
                                 " WHERE NOT e.processed AND e.waiting_for = ANY ($1)"
                                 " ORDER BY e.stripe_created, e.stripe_event_id LIMIT 200 FOR UPDATE OF e");

// Also what was given up after waiting too long.
pg::Statement make_rows_due(
    "UPDATE @stripe_events e SET next_retry_at = now(), retry_count = 0"
    " WHERE NOT e.processed AND e.waiting_for = ANY ($1)");

pg::Statement reopen_rows(
    "UPDATE @stripe_events e SET processed = false, processed_at = NULL, outcome = 'parked',"
    "  retry_count = greatest(e.retry_count, 1), next_retry_at = now()"
    " WHERE e.processed AND e.waiting_for = ANY ($1)");

pg::Statement claim_rows("SELECT" STORED_COLUMNS
                         " WHERE NOT e.processed AND e.stripe_event_id = ANY ($1)"
                         " ORDER BY e.stripe_created, e.stripe_event_id FOR UPDATE OF e");

pg::Statement claim_one_row("SELECT" STORED_COLUMNS " WHERE e.stripe_event_id = $1 FOR UPDATE OF e");

#undef STORED_COLUMNS

pg::RowReader event_rows("stripe_events", "stripe_events_pkey", "stripe_event_id");
pg::RowReader waiting_rows("stripe_events", "stripe_events_waiting_idx", "stripe_event_id");

// Nearly always nothing waits.
pg::Texts awaited_by_some(const std::vector<std::string>& what) {
  pg::Texts keys;
  for (const std::string& key : what)
    if (waiting_rows.any({pg::parameter(key)})) keys.push_back(key);
  return keys;
}

std::vector<Stored> stored(const pg::Rows& rows) {
  std::vector<Stored> claimed(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Stored& one = claimed[i];
    one.work.stored = true;
    one.work.id = rows.text(i, 0);
    one.payload_kept = !rows.null(i, 1);
    one.payload = rows.text(i, 1);
    one.work.endpoint = rows.text(i, 2);
    one.work.tries = rows.number(i, 3);
    one.work.received = rows.number(i, 4);
    one.processed = rows.flag(i, 5);
  }
  return claimed;
}

}  // namespace

std::set<std::string> find_known_events(const std::vector<Work*>& works) {
  std::set<std::string> known;
  for (const Work* work : works)
    if (event_rows.any({pg::parameter(work->id)})) known.insert(work->id);
  return known;
}

Arrivals count_duplicates(const Arrivals& arrivals) { return count(arrivals, count_free); }

void count_held_duplicates(const Arrivals& arrivals) { count(arrivals, count_waiting); }

void insert(const std::vector<Work*>& works, const Settings& settings) {
  if (works.empty()) return;
  Verdicts verdicts;
  pg::Texts type, object_id, object_type, customer, account, version, endpoint;
  pg::Flags livemode;
  pg::Times created;
  for (const Work* work : works) {
    verdicts.add(*work, settings);
    const Event* event = work->event ? &*work->event : nullptr;
    type.push_back(event != nullptr ? event->type : "unidentified");
    object_id.push_back(event != nullptr ? unless_empty(event->object_id) : std::nullopt);
    object_type.push_back(event != nullptr ? unless_empty(event->object_type) : std::nullopt);
    customer.push_back(event != nullptr ? unless_empty(event->customer_id) : std::nullopt);
    account.push_back(event != nullptr ? event->account : "");
    version.push_back(event != nullptr ? unless_empty(event->api_version) : std::nullopt);
    endpoint.push_back(unless_empty(work->endpoint));
    livemode.push_back((event != nullptr ? event->livemode : settings.live) ? 1 : 0);
    created.add(event != nullptr ? std::optional(event->created) : std::nullopt);
  }
  const pg::Rows rows =
      insert_events.run(verdicts.id, type, object_id, object_type, customer, account, livemode, version,
                        created, endpoint, verdicts.processed, verdicts.outcome, verdicts.error,
                        verdicts.tries, verdicts.retry_in, verdicts.waiting_for);
  std::set<std::string> ours;
  for (std::size_t i = 0; i < rows.size(); ++i) ours.insert(rows.text(i, 0));

  pg::Texts ids, payloads;
  pg::Times times;
  Arrivals lost;
  for (Work* work : works) {
    if (ours.count(work->id) == 0) {
      work->settle(Outcome::duplicate);
      ++lost[work->id];
    } else if (work->keep_payload) {
      ids.push_back(work->id);
      payloads.push_back(std::string(work->payload));
      times.add(work->event ? std::optional(work->event->created) : std::nullopt);
    }
  }
  if (!ids.empty()) insert_payloads.run(ids, times, payloads);
  count(lost, count_free);
}

void update(const std::vector<Work*>& works, const Settings& settings) {
  if (works.empty()) return;
  Verdicts verdicts;
  for (const Work* work : works) verdicts.add(*work, settings);
  update_events.run(verdicts.id, verdicts.processed, verdicts.outcome, verdicts.error, verdicts.tries,
                    verdicts.retry_in, verdicts.waiting_for);
}

std::vector<Stored> claim_due(const Settings& settings, int max_rows) {
  return stored(claim_due_rows.run(settings.retry_limit, max_rows));
}

std::vector<Stored> claim_waiting(const std::vector<std::string>& what) {
  const pg::Texts keys = awaited_by_some(what);
  if (keys.empty()) return {};
  std::vector<Stored> claimed = stored(claim_waiting_rows.run(keys));
  if (claimed.size() == kMaxWaiting) make_due(what);  // those claimed get their outcome after this
  return claimed;
}

std::vector<Stored> claim(const std::vector<std::string>& ids) {
  if (ids.empty()) return {};
  return stored(claim_rows.run(pg::Texts(ids.begin(), ids.end())));
}

void make_due(const std::vector<std::string>& what) {
  if (const pg::Texts keys = awaited_by_some(what); !keys.empty()) make_rows_due.run(keys);
}

void reopen(const std::vector<std::string>& what) {
  if (const pg::Texts keys = awaited_by_some(what); !keys.empty()) reopen_rows.run(keys);
}

std::vector<Stored> claim_one(const std::string& stripe_event_id) {
  try {
    return stored(claim_one_row.run(stripe_event_id));
  } catch (const pg::Error& error) {
    if (error.data()->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE) throw;
    throw pg::SqlError(ERRCODE_LOCK_NOT_AVAILABLE,
                       "event \"" + stripe_event_id + "\" is in use by another transaction",
                       "Try again in a moment.");
  }
}

}  // namespace billing::inbox
