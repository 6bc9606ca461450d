// The extension as the worker sees it.
#include "worker/store.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>

#include "core/json.hpp"

namespace billing::worker {

namespace asio = boost::asio;

namespace {

constexpr std::string_view kVersions = "0.1.";  // this worker calls functions as these versions have them
constexpr auto kHousekeepingLimit = std::chrono::seconds(30);
constexpr auto kCompareLimit = std::chrono::minutes(5);
constexpr auto kCheckLimit = std::chrono::seconds(10);

// Every name qualified: the role's search_path may be anything.
constexpr const char* kCheckStatement = R"sql(
SELECT e.extversion, n.nspname, pg_catalog.pg_is_in_recovery(),
       pg_catalog.current_setting('transaction_read_only'),
       pg_catalog.current_setting('synchronous_commit'),
       pg_catalog.current_setting('default_transaction_isolation'),
       pg_catalog.has_schema_privilege(n.oid, 'USAGE'),
       (SELECT pg_catalog.bool_and(pg_catalog.has_function_privilege(p.oid, 'EXECUTE'))
          FROM pg_catalog.pg_proc p
         WHERE p.pronamespace OPERATOR(pg_catalog.=) n.oid
           AND p.proname OPERATOR(pg_catalog.=) 'process_stripe_events'),
       current_user, pg_catalog.current_database()
  FROM (SELECT 1) AS one
  LEFT JOIN pg_catalog.pg_extension e ON e.extname OPERATOR(pg_catalog.=) 'pg_billing'
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace)sql";

std::string quoted(const std::string& identifier) {
  std::string out = "\"";
  for (const char c : identifier) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

std::string text_at(const Reply& reply, std::size_t column) {
  return reply.rows.at(0).at(column).value_or("");
}

// Id, outcome, error, type and activity.
template <typename Row>
EventResult result_from(const Row& row) {
  const auto text = [&](std::size_t column) { return row.at(column).value_or(""); };
  return {text(0), text(1), text(2), text(3), text(4)};
}

std::optional<Problem> unanswered(const Reply& reply) {
  if (reply.error)
    return Problem{"database_error", reply.error->message + " (" + reply.error->sqlstate + ")",
                   reply.error->hint.empty() ? "see the server's log" : reply.error->hint};
  return Problem{"database_unreachable", "the connection to the database was lost", "see the server's log"};
}

}  // namespace

Fault fault_of(const std::string& sqlstate) {
  const std::string_view group = std::string_view(sqlstate).substr(0, 2);
  for (const std::string_view system : {"40", "53", "57", "58", "XX", "08"})
    if (group == system) return Fault::system;
  // 55P03: a lock was not to be had in time. Empty: libpq itself gave up.
  if (sqlstate == "25006" || sqlstate == "55P03" || sqlstate.empty()) return Fault::system;
  for (const std::string_view setup : {"0A", "28", "3D", "3F", "42", "55", "25"})
    if (group == setup) return Fault::setup;
  return Fault::data;
}

Store::Store(asio::io_context& io, const ConnectionString& connection, std::string wanted_schema)
    : database_(io, connection), wanted_schema_(std::move(wanted_schema)) {}

asio::awaitable<std::optional<Problem>> Store::open() {
  auto problem = co_await database_.connect();
  if (!problem) problem = co_await check();
  if (problem) database_.close();
  co_return problem;
}

asio::awaitable<std::optional<Problem>> Store::check() {
  const Reply reply = co_await database_.query(kCheckStatement, {}, kCheckLimit);
  if (!reply.ok() || reply.rows.size() != 1) co_return unanswered(reply);
  const std::string version = text_at(reply, 0);
  const std::string schema = text_at(reply, 1);
  const std::string role = text_at(reply, 8);
  if (text_at(reply, 2) == "t")
    co_return Problem{"in_recovery", "the database is a standby, which takes no writes",
                      "point DATABASE_URL at the primary, or list all hosts with "
                      "target_session_attrs=read-write"};
  if (text_at(reply, 3) == "on")
    co_return Problem{"read_only", "transactions of role " + role + " are read-only in this database",
                      "turn default_transaction_read_only off", true};
  if (version.empty())
    co_return Problem{"extension_missing", "the extension pg_billing is not in database " + text_at(reply, 9),
                      "run CREATE EXTENSION pg_billing there, or correct DATABASE_URL", true};
  if (!version.starts_with(kVersions))
    co_return Problem{
        "extension_version",
        "this worker is version " PG_BILLING_VERSION ", the extension is version " + version,
        "install worker and extension of the same release, then run ALTER EXTENSION pg_billing UPDATE", true};
  if (!wanted_schema_.empty() && wanted_schema_ != schema)
    co_return Problem{"schema_mismatch",
                      "PG_BILLING_SCHEMA is " + wanted_schema_ + ", the extension is in schema " + schema,
                      "correct PG_BILLING_SCHEMA, or leave it out", true};
  if (text_at(reply, 6) != "t" || text_at(reply, 7) != "t")
    co_return Problem{"permission_denied", "role " + role + " may not call process_stripe_events",
                      "run SELECT " + schema + ".grant_billing_role('" + role + "', 'worker')", true};
  if (text_at(reply, 4) == "off")
    co_return Problem{"synchronous_commit_off",
                      "synchronous_commit is off, so a commit that is confirmed can still be lost",
                      "run ALTER ROLE " + role + " SET synchronous_commit = on", true};
  if (text_at(reply, 5) != "read committed")
    co_return Problem{
        "isolation_level", "default_transaction_isolation is " + text_at(reply, 5) + ", not read committed",
        "run ALTER ROLE " + role + " SET default_transaction_isolation = 'read committed'", true};
  extension_version_ = version;
  schema_ = quoted(schema);
  co_return std::nullopt;
}

std::string Store::function(const char* call) const { return schema_ + "." + call; }

asio::awaitable<Reply> Store::process(const std::vector<std::string_view>& payloads,
                                      const std::vector<std::string_view>& endpoints,
                                      std::chrono::milliseconds limit) {
  Json names = Json::array();
  for (const std::string_view endpoint : endpoints) names.push_back(endpoint);
  std::vector<Parameter> parameters;
  parameters.push_back(text_array(payloads));
  parameters.push_back(json_text(Json{{"endpoints", std::move(names)}, {"woken", true}}.dump()));
  std::string sql = "SELECT stripe_event_id, outcome, error, event_type, activity, ordinal FROM " +
                    function("process_stripe_events($1::pg_catalog.text[], $2::pg_catalog.jsonb)");
  return database_.repeat(std::move(sql), std::move(parameters), limit);
}

asio::awaitable<Reply> Store::ask(std::string sql, std::vector<Parameter> parameters,
                                  std::chrono::milliseconds limit) {
  for (std::size_t at = sql.find("{s}"); at != std::string::npos; at = sql.find("{s}", at))
    sql.replace(at, 3, schema_);
  return database_.query(std::move(sql), std::move(parameters), limit);
}

std::optional<Store::Results> Store::results(const Reply& reply, std::size_t payloads) {
  Results results;
  results.of_payloads.resize(payloads);
  std::vector<bool> seen(payloads, false);
  for (const auto& row : reply.rows) {
    if (row.size() != 6 || !row[1]) return std::nullopt;
    if (!row[5]) {
      results.woken.push_back(result_from(row));
      continue;
    }
    std::size_t ordinal = 0;
    std::from_chars(row[5]->data(), row[5]->data() + row[5]->size(), ordinal);
    if (ordinal < 1 || ordinal > payloads || seen[ordinal - 1]) return std::nullopt;
    seen[ordinal - 1] = true;
    results.of_payloads[ordinal - 1] = result_from(row);
  }
  if (std::find(seen.begin(), seen.end(), false) != seen.end()) return std::nullopt;
  return results;
}

std::vector<EventResult> Store::retried(const Reply& reply) {
  std::vector<EventResult> results;
  for (const auto& row : reply.rows) results.push_back(result_from(row));
  return results;
}

asio::awaitable<Reply> Store::retry(int rows) {
  return database_.query("SELECT stripe_event_id, outcome, error, event_type, activity FROM " +
                             function("retry_stripe_events(") + std::to_string(rows) + ")",
                         {}, kHousekeepingLimit);
}

asio::awaitable<Reply> Store::refresh(int rows) {
  return database_.query("SELECT " + function("refresh_subscription_cache(") + std::to_string(rows) + ")", {},
                         kHousekeepingLimit);
}

asio::awaitable<Reply> Store::figures() {
  return database_.query("SELECT " + function("ingest_metrics()"), {}, kHousekeepingLimit);
}

asio::awaitable<Reply> Store::setup_facts() {
  return database_.query("SELECT " + function("setup_facts()"), {}, kHousekeepingLimit);
}

asio::awaitable<Reply> Store::compare(const std::string& query) {
  std::vector<Parameter> parameters;
  parameters.push_back(plain_text(query));
  return database_.query("SELECT user_id, field, theirs, ours FROM " + function("compare_billing_state($1)"),
                         std::move(parameters), kCompareLimit);
}

asio::awaitable<Reply> Store::notify_due(int rows) {
  return database_.query("SELECT " + function("notify_due(") + std::to_string(rows) + ")", {},
                         kHousekeepingLimit);
}

asio::awaitable<Reply> Store::listen(std::string channel) {
  return database_.query("LISTEN " + channel, {}, kCheckLimit);
}

asio::awaitable<void> Store::rest(asio::steady_timer& timer, std::chrono::milliseconds time) {
  timer.expires_after(time);
  if (!is_open()) {
    co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
    co_return;
  }
  timer.async_wait([this](const boost::system::error_code& error) {
    if (!error) wake();
  });
  if (!take_notified()) co_await idle();
  timer.cancel();
}

asio::awaitable<Reply> Store::claim_notifications(std::uint64_t rows, std::chrono::seconds lease) {
  std::string sql =
      "SELECT user_id, notification_id, kind, payload, livemode,"
      " pg_catalog.to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'),"
      " attempt FROM " +
      function("claim_billing_notifications(") + std::to_string(rows) +
      ", pg_catalog.jsonb_build_object('lease', '" + std::to_string(lease.count()) + " seconds'))";
  return database_.query(std::move(sql), {}, kHousekeepingLimit);
}

asio::awaitable<Reply> Store::finish_notifications(std::string results) {
  std::vector<Parameter> parameters;
  parameters.push_back(json_text(std::move(results)));
  std::string sql = "SELECT " +
                    function(
                        "finish_billing_notification(r.user_id, r.notification_id, r.success, "
                        "r.error, r.options)") +
                    " FROM pg_catalog.jsonb_to_recordset($1::pg_catalog.jsonb) AS r(user_id pg_catalog.text,"
                    " notification_id pg_catalog.text, success pg_catalog.bool, error pg_catalog.text,"
                    " options pg_catalog.jsonb)";
  return database_.query(std::move(sql), std::move(parameters), kHousekeepingLimit);
}

asio::awaitable<Reply> Store::call(const char* call, std::vector<Parameter> parameters,
                                   std::chrono::milliseconds limit) {
  return database_.query("SELECT * FROM " + function(call), std::move(parameters), limit);
}

asio::awaitable<Reply> Store::request_stale() {
  return database_.query("SELECT " + function("request_stale_refetches()"), {}, kHousekeepingLimit);
}

asio::awaitable<Reply> Store::request_missing() {
  return database_.query("SELECT " + function("request_missing_refetches()"), {}, kHousekeepingLimit);
}

asio::awaitable<Reply> Store::claim_refetches(int rows) {
  return database_.query("SELECT stripe_account, livemode, object_type, object_id, reason, fetch_id FROM " +
                             function("claim_stripe_refetches(") + std::to_string(rows) + ")",
                         {}, kHousekeepingLimit);
}

std::vector<Store::WantedObject> Store::wanted(const Reply& reply) {
  std::vector<WantedObject> wanted;
  for (const auto& row : reply.rows) {
    const auto text = [&](std::size_t column) { return row.at(column).value_or(""); };
    wanted.push_back({text(0), text(1) == "t", text(2), text(3), text(4), text(5)});
  }
  return wanted;
}

asio::awaitable<Reply> Store::postpone_refetch(const WantedObject& wanted, const std::string& error) {
  std::vector<Parameter> parameters;
  for (const std::string& text :
       {wanted.account, std::string(wanted.livemode ? "t" : "f"), wanted.type, wanted.id, error})
    parameters.push_back(plain_text(text));
  return database_.query("SELECT " + function("postpone_stripe_refetch($1, $2::pg_catalog.bool, $3, $4, $5)"),
                         std::move(parameters), kHousekeepingLimit);
}

std::optional<IngestFigures> parse_figures(const Reply& reply) {
  if (!reply.ok() || reply.rows.size() != 1 || !reply.rows[0].at(0)) return std::nullopt;
  const Json answer = Json::parse(*reply.rows[0][0], nullptr, false);
  if (!answer.is_object()) return std::nullopt;
  const auto count = [](const Json& object, const char* key) -> std::optional<std::uint64_t> {
    const auto value = integer_of(object, key);
    if (!value || *value < 0) return std::nullopt;
    return static_cast<std::uint64_t>(*value);
  };
  IngestFigures out;
  const Json& oldest = at(answer, "oldest_unprocessed_seconds");
  if (oldest.is_number()) out.figures.oldest_unprocessed_seconds = oldest.get<double>();
  out.figures.unprocessed = count(answer, "unprocessed").value_or(0);
  out.figures.failed = count(answer, "failed").value_or(0);
  out.figures.given_up = count(answer, "given_up").value_or(0);
  const auto counts = [](const Json& object, std::map<std::string, std::uint64_t>& into) {
    if (!object.is_object()) return;
    for (const auto& [key, value] : object.items())
      if (value.is_number_unsigned()) into[key] = value.get<std::uint64_t>();
  };
  counts(at(answer, "parked"), out.figures.parked);
  counts(at(answer, "anomalies"), out.figures.anomalies);
  const Json& alerts = at(answer, "alerts");
  if (alerts.is_object())
    for (const auto& [severity, firing] : alerts.items()) counts(firing, out.figures.alerts[severity]);
  const Json& checked = at(answer, "alert_check_age_seconds");
  if (checked.is_number()) out.figures.alert_check_age_seconds = checked.get<double>();
  const Json& told = at(answer, "notifications");
  out.figures.notifications_pending = count(told, "pending").value_or(0);
  out.figures.notifications_given_up = count(told, "given_up").value_or(0);
  const Json& oldest_told = at(told, "oldest_pending_seconds");
  if (oldest_told.is_number()) out.figures.oldest_notification_seconds = oldest_told.get<double>();
  const Json& cache = at(answer, "cache");
  out.figures.cache_hits = count(cache, "hits");
  out.figures.cache_misses = count(cache, "misses");
  out.mode = text_of(answer, "mode").value_or("");
  out.notifications = text_of(answer, "notifications_setting").value_or("on") == "on";
  return out;
}

}  // namespace billing::worker
