// One libpq connection on the event loop.
#include "worker/database.hpp"

#include <arpa/inet.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>
#include <thread>

#include "worker/log.hpp"
#include "worker/text.hpp"

namespace billing::worker {

namespace asio = boost::asio;

namespace {

constexpr const char* kDuplicateStatement = "42P05";
constexpr const char* kNoStatement = "26000";
constexpr const char* kStatementOutdated = "0A000";  // what it returns has changed since

// Parameters as libpq takes them. Views of the originals.
struct Bound {
  explicit Bound(const std::vector<Parameter>& parameters) {
    for (const Parameter& parameter : parameters) {
      types.push_back(parameter.type);
      values.push_back(parameter.value.c_str());
      lengths.push_back(static_cast<int>(parameter.value.size()));
      formats.push_back(parameter.binary ? 1 : 0);
    }
  }
  int count() const { return static_cast<int>(types.size()); }

  std::vector<Oid> types;
  std::vector<const char*> values;
  std::vector<int> lengths;
  std::vector<int> formats;
};

constexpr auto kQuietly = asio::as_tuple(asio::use_awaitable);
constexpr auto kConnectLimit = std::chrono::seconds(10);
constexpr auto kCancelLimit = std::chrono::seconds(5);
constexpr Oid kTextArrayOid = 1009;
constexpr Oid kJsonbOid = 3802;
constexpr std::uint32_t kTextOid = 25;

void append_integer(std::string& out, std::uint32_t value) {
  const std::uint32_t network = htonl(value);
  out.append(reinterpret_cast<const char*>(&network), sizeof network);
}

std::string field(const PGresult* result, int code) {
  const char* value = PQresultErrorField(result, code);
  return value == nullptr ? "" : value;
}

// libpq ends its messages with a newline and may put several lines in one.
std::string one_line(std::string_view message) {
  std::string out(trim(message));
  for (char& c : out)
    if (c == '\n' || c == '\t') c = ' ';
  return out;
}

void append_rows(const PGresult* result, Reply& reply) {
  for (int row = 0; row < PQntuples(result); ++row) {
    auto& values = reply.rows.emplace_back();
    for (int column = 0; column < PQnfields(result); ++column) {
      auto& value = values.emplace_back();
      if (PQgetisnull(result, row, column) == 0)
        value.emplace(PQgetvalue(result, row, column),
                      static_cast<std::size_t>(PQgetlength(result, row, column)));
    }
  }
}

}  // namespace

Parameter text_array(const std::vector<std::string_view>& elements) {
  std::string out;
  std::size_t size = 20;
  for (const std::string_view element : elements) size += 4 + element.size();
  out.reserve(size);
  append_integer(out, elements.empty() ? 0 : 1);  // dimensions
  append_integer(out, 0);                         // no nulls
  append_integer(out, kTextOid);
  if (!elements.empty()) {
    append_integer(out, static_cast<std::uint32_t>(elements.size()));
    append_integer(out, 1);  // lower bound
  }
  for (const std::string_view element : elements) {
    append_integer(out, static_cast<std::uint32_t>(element.size()));
    out.append(element);
  }
  return {kTextArrayOid, std::move(out), true};
}

Parameter json_text(std::string value) { return {kJsonbOid, std::move(value), false}; }
Parameter plain_text(std::string value) { return {kTextOid, std::move(value), false}; }

Database::Database(asio::io_context& io, ConnectionString connection)
    : io_(io), target_(std::move(connection)), socket_(io), clock_(io) {
  target_.set_default("application_name", "pg_billing");
  target_.set("client_encoding", "UTF8");
  // A peer that vanished is noticed within half a minute, not after the kernel's two hours.
  target_.set_default("keepalives_idle", "15");
  target_.set_default("keepalives_interval", "5");
  target_.set_default("keepalives_count", "3");
  target_.set_default("tcp_user_timeout", "30000");
}

Database::~Database() { close(); }

void Database::close() {
  clock_.cancel();
  // The descriptor is libpq's: forget it before libpq closes it.
  if (socket_.is_open()) socket_.release();
  connection_.reset();
  kept_.clear();
}

void Database::start_clock(std::chrono::milliseconds limit) {
  timed_out_ = false;
  clock_.expires_after(limit);
  clock_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    timed_out_ = true;
    stop_waiting();
  });
}

void Database::stop_waiting() {
  // Between two sockets of a connection attempt there is nothing to cancel.
  boost::system::error_code ignored;
  socket_.cancel(ignored);
}

asio::awaitable<bool> Database::wait_for(Wait what) {
  if (timed_out_) co_return false;
  const auto [error] = co_await socket_.async_wait(what, kQuietly);
  co_return !error && !timed_out_;
}

asio::awaitable<std::optional<Problem>> Database::resolve(ConnectionString& connection) {
  const std::vector<std::string> hosts = connection.hosts_to_resolve();
  std::vector<std::vector<std::string>> addresses(hosts.size());
  std::string unknown;
  bool any = hosts.empty();
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    any = any || hosts[i].empty();
    if (hosts[i].empty()) continue;
    asio::ip::tcp::resolver resolver(io_);
    const auto [error, found] = co_await resolver.async_resolve(hosts[i], "", kQuietly);
    if (error) {
      unknown = hosts[i] + ": " + error.message();
      continue;
    }
    any = true;
    for (const auto& entry : found) addresses[i].push_back(entry.endpoint().address().to_string());
  }
  if (!any)
    co_return Problem{"database_unreachable", "cannot look up the database host " + unknown,
                      "check the host in DATABASE_URL and the name service"};
  if (!hosts.empty()) connection.set_addresses(addresses);
  co_return std::nullopt;
}

asio::awaitable<std::optional<Problem>> Database::connect() {
  close();
  ConnectionString connection = target_;
  if (auto problem = co_await resolve(connection)) co_return problem;

  std::vector<const char*> keywords;
  std::vector<const char*> values;
  for (const auto& [keyword, value] : connection.parameters) {
    keywords.push_back(keyword.c_str());
    values.push_back(value.c_str());
  }
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  connection_.reset(PQconnectStartParams(keywords.data(), values.data(), 0));
  if (connection_ == nullptr) throw std::bad_alloc();
  PQsetNoticeReceiver(connection_.get(), on_notice, this);

  start_clock(kConnectLimit);
  PostgresPollingStatusType next = PGRES_POLLING_WRITING;
  while (PQstatus(connection_.get()) != CONNECTION_BAD &&
         (next == PGRES_POLLING_READING || next == PGRES_POLLING_WRITING)) {
    // libpq may have gone on to another address with another socket, even under the same number.
    socket_.assign(PQsocket(connection_.get()));
    const Wait what = next == PGRES_POLLING_READING ? Wait::wait_read : Wait::wait_write;
    const bool ready = co_await wait_for(what);
    if (socket_.is_open()) socket_.release();
    if (!ready) {
      close();
      co_return Problem{"database_unreachable", "the database does not answer within 10 seconds",
                        "check DATABASE_URL, the network and the server's log"};
    }
    next = PQconnectPoll(connection_.get());
  }
  clock_.cancel();
  if (next != PGRES_POLLING_OK) {
    Problem problem{"database_unreachable", one_line(PQerrorMessage(connection_.get())),
                    "check that the server runs, and DATABASE_URL"};
    close();
    co_return problem;
  }
  PQsetnonblocking(connection_.get(), 1);
  socket_.assign(PQsocket(connection_.get()));
  co_return std::nullopt;
}

void Database::on_notice(void* self, const PGresult* notice) {
  const std::string message = field(notice, PG_DIAG_MESSAGE_PRIMARY);
  // The function's name, because the message may be in the server's language. The transaction is committed
  // here; whether it survives a fail-over is what nobody knows.
  if (field(notice, PG_DIAG_SOURCE_FUNCTION) == "SyncRepWaitForLSN" ||
      message.find("wait for synchronous replication") != std::string::npos)
    static_cast<Database*>(self)->unreplicated_ = true;
  if (field(notice, PG_DIAG_SEVERITY_NONLOCALIZED) == "WARNING")
    log::Line(log::Level::warning, "database_warning")
        .add("sqlstate", field(notice, PG_DIAG_SQLSTATE))
        .add("message", message);
}

asio::awaitable<bool> Database::send_all() {
  for (;;) {
    const int left = PQflush(connection_.get());
    if (left <= 0) co_return left == 0;
    const bool writable = co_await wait_for(Wait::wait_write);
    if (!writable) co_return false;
    if (PQconsumeInput(connection_.get()) == 0) co_return false;
  }
}

// Asks the server to stop the statement. That needs a connection of its own, which libpq makes blocking: on a
// thread that shares nothing with the loop but this copy of the server's address and key.
void Database::cancel_statement() {
  std::shared_ptr<PGcancel> request(PQgetCancel(connection_.get()), PQfreeCancel);
  std::thread([request = std::move(request)] {
    char message[256];
    PQcancel(request.get(), message, sizeof message);
  }).detach();
}

asio::awaitable<void> Database::collect(Reply& reply) {
  bool cancelled = false;
  for (;;) {
    while (PQisBusy(connection_.get()) != 0) {
      const bool readable = co_await wait_for(Wait::wait_read);
      if (!readable) {
        if (timed_out_ && !cancelled && connected()) {
          cancelled = true;
          cancel_statement();
          start_clock(kCancelLimit);
          continue;
        }
        reply.lost = true;
        co_return;
      }
      if (PQconsumeInput(connection_.get()) == 0) {
        reply.lost = true;
        co_return;
      }
    }
    // Until there is nothing more: a commit that fails comes after the rows.
    const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQgetResult(connection_.get()), PQclear);
    if (result == nullptr) break;
    const ExecStatusType status = PQresultStatus(result.get());
    if (status == PGRES_TUPLES_OK) {
      append_rows(result.get(), reply);
    } else if (status != PGRES_COMMAND_OK) {
      reply.error = Reply::Error{field(result.get(), PG_DIAG_SQLSTATE),
                                 one_line(field(result.get(), PG_DIAG_MESSAGE_PRIMARY)),
                                 one_line(field(result.get(), PG_DIAG_MESSAGE_HINT))};
    }
  }
  if (!connected()) reply.lost = true;
}

asio::awaitable<Reply> Database::run(Send send, std::chrono::milliseconds limit) {
  Reply reply;
  // A server that went away while nothing was asked is noticed here, before anything is sent.
  if (!connected() || PQconsumeInput(connection_.get()) == 0) {
    close();
    reply.lost = true;
    co_return reply;
  }
  unreplicated_ = false;
  start_clock(limit);
  bool sent = send(connection_.get());
  if (sent) sent = co_await send_all();
  if (sent)
    co_await collect(reply);
  else
    reply.lost = true;
  clock_.cancel();
  reply.unreplicated = unreplicated_;
  if (reply.lost) close();
  co_return reply;
}

asio::awaitable<Reply> Database::query(std::string sql, std::vector<Parameter> parameters,
                                       std::chrono::milliseconds limit) {
  const Bound bound(parameters);
  Send send = [&](PGconn* connection) {
    return PQsendQueryParams(connection, sql.c_str(), bound.count(), bound.types.data(), bound.values.data(),
                             bound.lengths.data(), bound.formats.data(), 0) == 1;
  };
  Reply reply = co_await run(std::move(send), limit);
  co_return reply;
}

asio::awaitable<Reply> Database::repeat(std::string sql, std::vector<Parameter> parameters,
                                        std::chrono::milliseconds limit) {
  // The same text has the same name in every worker: behind a pooler they find each other's.
  const std::string name = "pg_billing_" + std::to_string(std::hash<std::string>{}(sql));
  const Bound bound(parameters);
  if (keeps_statements_ && kept_.count(name) == 0) {
    Send prepare = [&](PGconn* connection) {
      return PQsendPrepare(connection, name.c_str(), sql.c_str(), bound.count(), bound.types.data()) == 1;
    };
    Reply reply = co_await run(std::move(prepare), limit);
    if (reply.lost) co_return reply;
    if (reply.ok() || reply.error->sqlstate == kDuplicateStatement) kept_.insert(name);
  }
  if (keeps_statements_ && kept_.count(name) > 0) {
    Send execute = [&](PGconn* connection) {
      return PQsendQueryPrepared(connection, name.c_str(), bound.count(), bound.values.data(),
                                 bound.lengths.data(), bound.formats.data(), 0) == 1;
    };
    Reply reply = co_await run(std::move(execute), limit);
    const bool gone =
        reply.error && (reply.error->sqlstate == kNoStatement || reply.error->sqlstate == kStatementOutdated);
    if (!gone) co_return reply;
    keeps_statements_ = false;
    log::Line(log::Level::info, "statements_not_kept").add("sqlstate", reply.error->sqlstate);
  }
  Reply reply = co_await query(std::move(sql), std::move(parameters), limit);
  co_return reply;
}

asio::awaitable<void> Database::idle() {
  if (std::exchange(woken_, false)) co_return;
  idle_ = true;
  const auto [error] = co_await socket_.async_wait(Wait::wait_read, kQuietly);
  idle_ = false;
  woken_ = false;
  // Readable without a question: a notice, a changed parameter, or the end.
  if (!error && connected() && PQconsumeInput(connection_.get()) == 0) close();
  if (!connected()) close();
}

bool Database::take_notified() {
  bool any = false;
  while (connected()) {
    const std::unique_ptr<PGnotify, decltype(&PQfreemem)> notice(PQnotifies(connection_.get()), PQfreemem);
    if (notice == nullptr) break;
    any = true;
  }
  return any;
}

void Database::wake() {
  if (idle_)
    stop_waiting();
  else
    woken_ = true;
}

}  // namespace billing::worker
