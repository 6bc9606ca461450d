// The operator's own connections to the database: a few, opened when somebody asks, closed when nobody does.
// What they do never stands in the way of a webhook, which has others.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <list>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/json.hpp"
#include "worker/database.hpp"

namespace billing::worker::operators {

// Why there is no answer, for the page that says so.
class Failure : public std::runtime_error {
 public:
  Failure(int status, const std::string& message, std::string next_step, std::string sqlstate = "")
      : std::runtime_error(message),
        status_(status),
        next_step_(std::move(next_step)),
        sqlstate_(std::move(sqlstate)) {}
  int status() const { return status_; }
  const std::string& next_step() const { return next_step_; }
  const std::string& sqlstate() const { return sqlstate_; }

 private:
  int status_;
  std::string next_step_;
  std::string sqlstate_;
};

class Connections : public std::enable_shared_from_this<Connections> {
  struct Connection;

 public:
  using Clock = std::chrono::steady_clock;
  using Values = std::vector<std::string>;

  // One connection for as long as this lives.
  class Lease {
   public:
    Lease(std::shared_ptr<Connections> owner, std::unique_ptr<Connection> connection);
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    // The rows as objects. "{s}" becomes the extension's schema, $1… are bound as text. Throws Failure.
    boost::asio::awaitable<Json> rows(std::string sql, Values values);
    const std::string& role() const;
    Connection& connection() { return *connection_; }

   private:
    std::shared_ptr<Connections> owner_;
    std::unique_ptr<Connection> connection_;
  };

  Connections(boost::asio::io_context& io, ConnectionString target);
  ~Connections();

  // A connection that works, of a role that may do what operators do. Throws Failure.
  boost::asio::awaitable<std::unique_ptr<Lease>> take();
  // Closes what nobody has used for a while.
  void sweep(Clock::time_point now);

 private:
  boost::asio::awaitable<void> check(Connection& connection);
  void give_back(std::unique_ptr<Connection> connection);

  boost::asio::io_context& io_;
  ConnectionString target_;
  std::vector<std::unique_ptr<Connection>> idle_;
  std::size_t taken_ = 0;
  std::list<boost::asio::steady_timer*> waiting_;
};

}  // namespace billing::worker::operators
