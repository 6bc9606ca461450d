// One libpq connection on the event loop: connects, asks and waits without ever blocking the loop.
#pragma once

#include <libpq-fe.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "worker/connection_string.hpp"
#include "worker/refusal.hpp"

namespace billing::worker {

// What a statement came to. A commit can fail after rows have arrived: only `error` and `lost` tell.
struct Reply {
  struct Error {
    std::string sqlstate;
    std::string message;  // the detail is left behind: it quotes rows, and so bodies
    std::string hint;
  };

  std::vector<std::vector<std::optional<std::string>>> rows;
  std::optional<Error> error;
  bool lost = false;          // the connection broke: nobody knows whether it was committed
  bool unreplicated = false;  // committed here, but the synchronous standby did not confirm

  bool ok() const { return !error && !lost; }
};

struct Parameter {
  Oid type;
  std::string value;
  bool binary;
};
// Bound as text[], in binary.
Parameter text_array(const std::vector<std::string_view>& elements);
Parameter json_text(std::string value);
Parameter plain_text(std::string value);

class Database {
 public:
  Database(boost::asio::io_context& io, ConnectionString connection);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Nothing on success.
  boost::asio::awaitable<std::optional<Problem>> connect();
  bool connected() const { return connection_ != nullptr && PQstatus(connection_.get()) == CONNECTION_OK; }
  void close();

  // One statement, unnamed, by itself a transaction. One that takes longer than `limit` is cancelled.
  boost::asio::awaitable<Reply> query(std::string sql, std::vector<Parameter> parameters,
                                      std::chrono::milliseconds limit);
  // The same for one that is run again and again: the server keeps it, parsed and planned. A pooler that
  // gives each transaction another server makes that impossible; once noticed, it is sent as any other.
  boost::asio::awaitable<Reply> repeat(std::string sql, std::vector<Parameter> parameters,
                                       std::chrono::milliseconds limit);
  // Until wake() is called or the server ends the connection.
  boost::asio::awaitable<void> idle();
  void wake();
  // Whether a NOTIFY has come since the last call.
  bool take_notified();

 private:
  using Wait = boost::asio::posix::stream_descriptor::wait_type;

  boost::asio::awaitable<std::optional<Problem>> resolve(ConnectionString& connection);
  // What libpq is to send: false when it cannot.
  using Send = std::function<bool(PGconn*)>;
  boost::asio::awaitable<Reply> run(Send send, std::chrono::milliseconds limit);
  boost::asio::awaitable<bool> wait_for(Wait what);
  boost::asio::awaitable<bool> send_all();
  boost::asio::awaitable<void> collect(Reply& reply);
  void start_clock(std::chrono::milliseconds limit);
  void stop_waiting();
  void cancel_statement();
  static void on_notice(void* self, const PGresult* notice);

  struct Finish {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };

  boost::asio::io_context& io_;
  ConnectionString target_;
  std::unique_ptr<PGconn, Finish> connection_;
  boost::asio::posix::stream_descriptor socket_;
  boost::asio::steady_timer clock_;
  bool timed_out_ = false;
  bool idle_ = false;
  bool woken_ = false;
  bool unreplicated_ = false;
  bool keeps_statements_ = true;
  std::set<std::string> kept_;  // names of what this connection's server keeps
};

}  // namespace billing::worker
