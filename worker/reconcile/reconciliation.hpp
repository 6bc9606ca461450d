// One comparison of the database with Stripe's API: events that never came, then objects.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <optional>
#include <string>

#include "core/json.hpp"
#include "worker/config.hpp"
#include "worker/store.hpp"
#include "worker/stripe/client.hpp"

namespace billing::reconcile {

struct Request {
  Seconds span = 86400;  // backwards from now
  bool dry_run = false;
  std::optional<Seconds> every;  // not when another began so lately
  bool after_restore = false;    // first of all holds the requests that nobody knows to be performed or not
};

class Reconciliation {
 public:
  Reconciliation(boost::asio::io_context& io, const worker::Config& config, stripe::Client& client);

  // The report, or why there is none: "success" is false then. Throws worker::CommandError.
  boost::asio::awaitable<Json> run(Request request);

 private:
  boost::asio::awaitable<void> read_events(bool undelivered);
  boost::asio::awaitable<void> read_objects(std::string type, Json parameters);
  boost::asio::awaitable<void> compare(Json objects, Seconds read_after);
  // One page; nothing once it could not be read.
  boost::asio::awaitable<std::optional<stripe::Answer>> page(stripe::Call call);

  boost::asio::io_context& io_;
  bool live_mode_;
  stripe::Client& client_;
  worker::Store store_;
  std::int64_t id_ = 0;
  Seconds since_ = 0;
  std::string error_;  // of the first list that could not be read
};

}  // namespace billing::reconcile
