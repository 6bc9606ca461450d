// The API's own connections to the database.
#include "worker/api/database.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "worker/api/answer.hpp"
#include "worker/log.hpp"

namespace billing::worker::api {

namespace asio = boost::asio;

namespace {

constexpr auto kQuietly = asio::as_tuple(asio::use_awaitable);
constexpr auto kPatience = std::chrono::seconds(5);
constexpr auto kStatementLimit = std::chrono::seconds(10);

[[noreturn]] void unavailable_now(const std::string& reason, const std::string& message) {
  log::Line(log::Level::error, "api_database").add("reason", reason).add("error", message);
  // Of the database's own words none: whoever asks is anybody.
  throw Failure({503, "unavailable", "the database does not answer", "try again in a moment", "", "", 0, {}});
}

[[noreturn]] void fail(const Reply& reply) {
  if (reply.lost || !reply.error) unavailable_now("connection_lost", "the connection was lost");
  const Reply::Error& error = *reply.error;
  // What the functions refuse is said in words that are meant for callers.
  if (error.sqlstate == "22023" || error.sqlstate == "22004" || error.sqlstate == "P0002")
    throw Failure(invalid("", error.message));
  if (fault_of(error.sqlstate) != Fault::data) unavailable_now(error.sqlstate, error.message);
  log::Line(log::Level::error, "api_database").add("reason", error.sqlstate).add("error", error.message);
  throw Failure({500,
                 "internal_error",
                 "this is a mistake in pg_billing",
                 "the worker's log says more",
                 "",
                 "",
                 0,
                 {}});
}

}  // namespace

class Database::Lease {
 public:
  Lease(Database& owner, std::unique_ptr<Store> store) : owner_(owner), store_(std::move(store)) {}
  ~Lease() { owner_.give_back(std::move(store_)); }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  Store& store() { return *store_; }

 private:
  Database& owner_;
  std::unique_ptr<Store> store_;
};

Database::Database(Runtime& runtime) : runtime_(runtime) {}

asio::awaitable<std::unique_ptr<Database::Lease>> Database::take() {
  const auto until = Clock::now() + kPatience;
  while (taken_ >= runtime_.config->api_connections) {
    asio::steady_timer turn(runtime_.io, until);
    const auto place = waiting_.insert(waiting_.end(), &turn);
    co_await turn.async_wait(kQuietly);
    waiting_.erase(place);
    if (Clock::now() >= until)
      unavailable_now("busy", "all of PG_BILLING_API_CONNECTIONS have been busy for 5 seconds");
  }
  ++taken_;
  std::unique_ptr<Store> store;
  if (!idle_.empty()) {
    store = std::move(idle_.back());
    idle_.pop_back();
  } else {
    store = std::make_unique<Store>(runtime_.io, runtime_.config->connection, runtime_.config->schema);
  }
  auto lease = std::make_unique<Lease>(*this, std::move(store));
  if (!lease->store().is_open()) co_await open(lease->store());
  co_return lease;
}

asio::awaitable<void> Database::open(Store& store) {
  const auto problem = co_await store.open();
  if (problem) unavailable_now(problem->reason, problem->message);
}

void Database::give_back(std::unique_ptr<Store> store) {
  --taken_;
  idle_.push_back(std::move(store));
  if (!waiting_.empty()) waiting_.front()->cancel();
}

asio::awaitable<Reply> Database::ask(std::string sql, std::vector<Parameter> parameters) {
  const auto lease = co_await take();
  Reply reply = co_await lease->store().ask(sql, parameters, kStatementLimit);
  if (reply.lost) {
    co_await open(lease->store());
    reply = co_await lease->store().ask(std::move(sql), std::move(parameters), kStatementLimit);
  }
  if (!reply.ok()) fail(reply);
  co_return reply;
}

asio::awaitable<std::string> Database::text_of(std::string sql, std::vector<Parameter> parameters) {
  Reply reply = co_await ask(std::move(sql), std::move(parameters));
  co_return std::move(reply.rows.at(0).at(0)).value_or("");
}

asio::awaitable<Json> Database::json_of(std::string sql, std::vector<Parameter> parameters) {
  const std::string text = co_await text_of(std::move(sql), std::move(parameters));
  co_return text.empty() ? Json() : Json::parse(text);
}

asio::awaitable<Store::Results> Database::process(std::vector<std::string> payloads) {
  const std::vector<std::string_view> views(payloads.begin(), payloads.end());
  const std::vector<std::string_view> endpoints(payloads.size(), "");
  const auto lease = co_await take();
  const Reply reply = co_await lease->store().process(views, endpoints, runtime_.config->batch_timeout);
  if (!reply.ok()) fail(reply);
  auto results = Store::results(reply, payloads.size());
  if (!results) unavailable_now("results_missing", "process_stripe_events did not answer for every event");
  co_return std::move(*results);
}

}  // namespace billing::worker::api
