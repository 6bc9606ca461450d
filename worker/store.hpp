// The extension as the worker sees it: is this database usable, and the statements that are run in it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/json.hpp"
#include "worker/database.hpp"
#include "worker/metrics.hpp"
#include "worker/refusal.hpp"

namespace billing::worker {

// What became of one event.
struct EventResult {
  std::string id;
  std::string outcome;  // processed, duplicate, parked, ignored, failed
  std::string error;
  std::string type;      // of those that were stored before
  std::string activity;  // what it did; "" for most events
};

// Whose fault an error is, and so what to do about it.
enum class Fault {
  system,  // run it again: classes 40, 53, 57, 58, XX and 25006
  data,    // something in the batch: run its parts
  setup,   // rights, a missing function: nothing will help but a person
};
Fault fault_of(const std::string& sqlstate);

class Store {
 public:
  Store(boost::asio::io_context& io, const ConnectionString& connection, std::string wanted_schema);

  // Connects and checks. A connection that may not be used is closed again.
  boost::asio::awaitable<std::optional<Problem>> open();
  // Whether the database of an open connection is (still) writable and has an extension that we know.
  boost::asio::awaitable<std::optional<Problem>> check();
  bool is_open() const { return database_.connected(); }
  void close() { database_.close(); }
  const std::string& extension_version() const { return extension_version_; }

  boost::asio::awaitable<Reply> process(const std::vector<std::string_view>& payloads,
                                        const std::vector<std::string_view>& endpoints,
                                        std::chrono::milliseconds limit);
  // The rows of a successful process(), in the order of the payloads, and those of events that had waited for
  // what these brought; nothing when a row is missing.
  struct Results {
    std::vector<EventResult> of_payloads;
    std::vector<EventResult> woken;
  };
  static std::optional<Results> results(const Reply& reply, std::size_t payloads);

  // Any statement; "{s}" becomes the extension's schema.
  boost::asio::awaitable<Reply> ask(std::string sql, std::vector<Parameter> parameters,
                                    std::chrono::milliseconds limit);

  boost::asio::awaitable<Reply> retry(int rows);
  static std::vector<EventResult> retried(const Reply& reply);
  boost::asio::awaitable<Reply> refresh(int rows);
  boost::asio::awaitable<Reply> figures();
  boost::asio::awaitable<Reply> setup_facts();

  // Where another system, asked by this query, says otherwise: user, field, theirs, ours.
  boost::asio::awaitable<Reply> compare(const std::string& query);
  // Users whose access time alone has changed; how many were looked at.
  boost::asio::awaitable<Reply> notify_due(int rows);
  // LISTEN for a wake-up; what is not to be had, behind a pooler for example, is done without.
  boost::asio::awaitable<Reply> listen(std::string channel);
  bool take_notified() { return database_.take_notified(); }
  boost::asio::awaitable<Reply> claim_notifications(std::uint64_t rows, std::chrono::seconds lease);
  // `results`: an array of objects with user_id, notification_id, success, error, options.
  boost::asio::awaitable<Reply> finish_notifications(std::string results);

  // SELECT * FROM one of the extension's functions: `call` is its name with its arguments.
  boost::asio::awaitable<Reply> call(const char* call, std::vector<Parameter> parameters,
                                     std::chrono::milliseconds limit);

  // An object that the extension wants fetched from Stripe's API.
  struct WantedObject {
    std::string account;
    bool livemode = false;
    std::string type;
    std::string id;
    std::string reason;
    std::string fetch_id;
  };
  boost::asio::awaitable<Reply> request_stale();
  boost::asio::awaitable<Reply> request_missing();
  boost::asio::awaitable<Reply> claim_refetches(int rows);
  static std::vector<WantedObject> wanted(const Reply& reply);
  boost::asio::awaitable<Reply> postpone_refetch(const WantedObject& wanted, const std::string& error);

  // A request to Stripe that the outbox hands out.
  struct StripeRequest {
    std::string id;
    std::string method;
    std::string path;
    Json parameters;
    std::string account;
    bool livemode = false;
    std::string purpose;
    std::string fetch_id;  // of the object in its answer
  };
  boost::asio::awaitable<Reply> claim_requests(std::size_t rows);
  static std::vector<StripeRequest> stripe_requests(const Reply& reply);
  boost::asio::awaitable<Reply> finish_request(std::string id, Json answer,
                                               std::optional<std::string> payload);
  boost::asio::awaitable<Reply> postpone_request(std::string id, Json error, bool unsent);
  boost::asio::awaitable<Reply> stripe_request(std::string id);
  boost::asio::awaitable<Reply> push_usage();

  boost::asio::awaitable<void> idle() { return database_.idle(); }
  // Until the time has passed, the timer is cancelled, or the database calls.
  boost::asio::awaitable<void> rest(boost::asio::steady_timer& timer, std::chrono::milliseconds time);
  void wake() { database_.wake(); }

 private:
  std::string function(const char* call) const;

  Database database_;
  std::string wanted_schema_;
  std::string schema_;  // quoted
  std::string extension_version_;
};

struct IngestFigures {
  DatabaseFigures figures;
  std::string mode;
  bool notifications = true;  // whether they are written
};
// Reads the answer of ingest_metrics(); nothing when it is not understood.
std::optional<IngestFigures> parse_figures(const Reply& reply);

}  // namespace billing::worker
