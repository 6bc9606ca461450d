// The operator's own connections to the database.
#include "worker/operator/connections.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace billing::worker::operators {

namespace asio = boost::asio;

namespace {

constexpr auto kQuietly = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kMost = 3;
constexpr auto kStatementLimit = std::chrono::seconds(10);
constexpr auto kPatience = std::chrono::seconds(10);
constexpr auto kIdle = std::chrono::minutes(1);
constexpr Oid kTextOid = 25;

// Every name qualified: the role's search_path may be anything.
constexpr const char* kCheckStatement = R"sql(
SELECT pg_catalog.quote_ident(n.nspname), current_user, pg_catalog.current_database(),
       pg_catalog.has_schema_privilege(n.oid, 'USAGE'),
       (SELECT pg_catalog.bool_and(pg_catalog.has_function_privilege(p.oid, 'EXECUTE'))
          FROM pg_catalog.pg_proc p
         WHERE p.pronamespace OPERATOR(pg_catalog.=) n.oid
           AND p.proname OPERATOR(pg_catalog.=) 'replay_stripe_event')
  FROM (SELECT 1) AS one
  LEFT JOIN pg_catalog.pg_extension e ON e.extname OPERATOR(pg_catalog.=) 'pg_billing'
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace)sql";

int status_of(const std::string& sqlstate) {
  const std::string_view group = std::string_view(sqlstate).substr(0, 2);
  if (sqlstate == "42501") return 403;
  if (sqlstate == "P0002") return 404;
  if (sqlstate == "57014") return 504;
  if (group == "22" || group == "21") return 400;
  if (group == "23" || group == "40" || group == "55" || group == "25") return 409;
  if (group == "53" || group == "57" || group == "08") return 503;
  return 500;
}

[[noreturn]] void fail(const Reply& reply) {
  if (reply.lost || !reply.error)
    throw Failure(
        503, "the connection to the database was lost",
        "Look again in a moment. Whether a change that was asked for has been made, only the page of what "
        "it was about can tell.");
  const Reply::Error& error = *reply.error;
  if (error.sqlstate == "57014")
    throw Failure(504, "the database took longer than 10 seconds, and the statement was cancelled",
                  "Narrow down what you look for, by time for example.", error.sqlstate);
  std::string step = error.hint;
  if (step.empty() && error.sqlstate == "42501")
    step =
        "Give the role of PG_BILLING_OPERATOR_DATABASE_URL what it needs: SELECT grant_billing_role(role, "
        "'admin')";
  throw Failure(status_of(error.sqlstate), error.message, step, error.sqlstate);
}

}  // namespace

struct Connections::Connection {
  Connection(asio::io_context& io, const ConnectionString& target) : database(io, target) {}
  Database database;
  std::string schema;
  std::string role;
  Clock::time_point used;
};

Connections::Connections(asio::io_context& io, ConnectionString target)
    : io_(io), target_(std::move(target)) {
  target_.set_default("application_name", "pg_billing operator");
}

Connections::~Connections() = default;

asio::awaitable<std::unique_ptr<Connections::Lease>> Connections::take() {
  const auto until = Clock::now() + kPatience;
  while (taken_ >= kMost) {
    asio::steady_timer turn(io_, until);
    const auto place = waiting_.insert(waiting_.end(), &turn);
    co_await turn.async_wait(kQuietly);
    waiting_.erase(place);
    if (Clock::now() >= until)
      throw Failure(503, "all of the page's connections to the database are busy", "Look again in a moment.");
  }
  ++taken_;
  std::unique_ptr<Connection> connection;
  if (!idle_.empty()) {
    connection = std::move(idle_.back());
    idle_.pop_back();
  } else {
    connection = std::make_unique<Connection>(io_, target_);
  }
  auto lease = std::make_unique<Lease>(shared_from_this(), std::move(connection));
  co_await check(lease->connection());
  co_return lease;
}

// Each time: the connection may have ended since, and what the role may do can have changed.
asio::awaitable<void> Connections::check(Connection& connection) {
  Reply reply;
  reply.lost = true;
  if (connection.database.connected())
    reply = co_await connection.database.query(kCheckStatement, {}, kStatementLimit);
  if (reply.lost) {
    const auto problem = co_await connection.database.connect();
    if (problem)
      throw Failure(503, "the database is not reached: " + problem->message,
                    "Check that the server runs, and PG_BILLING_OPERATOR_DATABASE_URL.");
    reply = co_await connection.database.query(kCheckStatement, {}, kStatementLimit);
  }
  if (!reply.ok() || reply.rows.size() != 1) fail(reply);
  const auto text = [&](std::size_t column) { return reply.rows[0].at(column).value_or(""); };
  connection.schema = text(0);
  connection.role = text(1);
  if (connection.schema.empty())
    throw Failure(503, "the extension pg_billing is not in database " + text(2),
                  "Run CREATE EXTENSION pg_billing there, or correct PG_BILLING_OPERATOR_DATABASE_URL.");
  if (text(3) != "t" || text(4) != "t")
    throw Failure(
        403, "role " + connection.role + " may not do what operators do",
        "Run SELECT " + connection.schema + ".grant_billing_role('" + connection.role + "', 'admin')",
        "42501");
}

void Connections::give_back(std::unique_ptr<Connection> connection) {
  --taken_;
  connection->used = Clock::now();
  if (connection->database.connected()) idle_.push_back(std::move(connection));
  if (!waiting_.empty()) waiting_.front()->cancel();
}

void Connections::sweep(Clock::time_point now) {
  std::erase_if(idle_, [&](const auto& connection) { return connection->used + kIdle <= now; });
}

Connections::Lease::Lease(std::shared_ptr<Connections> owner, std::unique_ptr<Connection> connection)
    : owner_(std::move(owner)), connection_(std::move(connection)) {}

Connections::Lease::~Lease() { owner_->give_back(std::move(connection_)); }

const std::string& Connections::Lease::role() const { return connection_->role; }

asio::awaitable<Json> Connections::Lease::rows(std::string sql, Values values) {
  for (std::size_t at = sql.find("{s}"); at != std::string::npos; at = sql.find("{s}", at))
    sql.replace(at, 3, connection_->schema);
  std::vector<Parameter> parameters;
  for (std::string& value : values) parameters.push_back({kTextOid, std::move(value), false});
  const Reply reply = co_await connection_->database.query(
      "SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(\"one row\")) FROM (" + sql + ") AS \"one row\"",
      std::move(parameters), kStatementLimit);
  if (!reply.ok() || reply.rows.size() != 1) fail(reply);
  if (!reply.rows[0].at(0)) co_return Json::array();
  co_return Json::parse(*reply.rows[0][0]);
}

}  // namespace billing::worker::operators
