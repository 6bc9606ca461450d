// What /metrics shows, in Prometheus' text format.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace billing::worker {

class Histogram {
 public:
  explicit Histogram(std::span<const double> bounds) : bounds_(bounds) {}
  void observe(double value);
  void observe(std::chrono::steady_clock::duration value) {
    observe(std::chrono::duration<double>(value).count());
  }
  void render(std::string& out, std::string_view name) const;

 private:
  static constexpr std::size_t kMaxBounds = 16;
  std::span<const double> bounds_;
  std::array<std::uint64_t, kMaxBounds + 1> counts_{};
  std::uint64_t count_ = 0;
  double sum_ = 0;
};

// What only the database knows: the last answer of ingest_metrics().
struct DatabaseFigures {
  std::optional<double> oldest_unprocessed_seconds;
  std::uint64_t unprocessed = 0;
  std::uint64_t failed = 0;
  std::uint64_t given_up = 0;
  std::map<std::string, std::uint64_t> parked;
  std::map<std::string, std::uint64_t> anomalies;
  std::map<std::string, std::map<std::string, std::uint64_t>>
      alerts;  // by severity and name: 1 when it fires
  std::optional<double> alert_check_age_seconds;
  std::uint64_t notifications_pending = 0;
  std::optional<double> oldest_notification_seconds;
  std::uint64_t notifications_given_up = 0;  // within a day
  std::optional<std::uint64_t> cache_hits;
  std::optional<std::uint64_t> cache_misses;
};

// What the comparison with another system has come to.
struct ShadowFigures {
  std::uint64_t comparisons = 0;
  bool compared = false;                             // the last one succeeded
  std::map<std::string, std::uint64_t> differences;  // by field, as they stand
};

class Metrics {
 public:
  Metrics();

  // Requests: received = acknowledged + rejected + those being handled.
  std::uint64_t received = 0;
  std::uint64_t acknowledged = 0;
  std::map<std::string, std::uint64_t, std::less<>> rejected;  // by reason

  // Events, after their commit: by outcome, and those that the housekeeping retried.
  std::uint64_t duplicates = 0;
  std::map<std::string, std::uint64_t, std::less<>> outcomes;
  std::map<std::string, std::uint64_t, std::less<>> retried;
  std::map<std::string, std::uint64_t, std::less<>> housekeeping_failures;  // by function

  // Attempts to deliver a notification: delivered, failed.
  std::map<std::string, std::uint64_t, std::less<>> deliveries;
  bool deliveries_stopped = false;

  ShadowFigures shadow;

  // Objects fetched from Stripe's API, by what became of them.
  std::map<std::string, std::uint64_t, std::less<>> fetches;

  // Of the HTTP API, by status.
  std::map<std::string, std::uint64_t, std::less<>> api_requests;
  std::map<std::string, std::uint64_t, std::less<>> stripe_requests;  // of the outbox
  std::map<std::string, std::uint64_t> requests;                      // to Stripe, by outcome

  std::uint64_t batches_run_again = 0;
  std::uint64_t database_connects = 0;
  std::uint64_t database_connect_failures = 0;
  Histogram batch_size;
  Histogram batch_seconds;
  Histogram request_seconds;
  std::optional<DatabaseFigures> database;

  // Grows whenever an event comes to something, so that figures are known to be old.
  std::uint64_t events_handled() const;

  // What is true at the moment of the scrape.
  struct Now {
    std::size_t queue_events = 0;
    std::size_t queue_bytes = 0;
    std::size_t http_connections = 0;
    std::size_t database_connections = 0;
    bool ready = false;
    bool shadow = false;
  };
  std::string render(const Now& now) const;

 private:
  std::int64_t started_;
};

}  // namespace billing::worker
