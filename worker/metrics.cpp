// What /metrics shows, in Prometheus' text format.
#include "worker/metrics.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "worker/log.hpp"

namespace billing::worker {
namespace {

constexpr double kSizeBounds[] = {1, 2, 5, 10, 20, 50, 100, 200};
constexpr double kSecondsBounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

std::string number(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.12g", value);
  return text;
}

void head(std::string& out, std::string_view name, std::string_view type, std::string_view help) {
  out.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ");
  out.append(name).append(" ").append(type).append("\n");
}

// Label values may hold anything but must escape three characters.
std::string label(std::string_view name, std::string_view value) {
  std::string out = "{" + std::string(name) + "=\"";
  for (const char c : value) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') out += '\\';
    out += c;
  }
  return out + "\"}";
}

void sample(std::string& out, std::string_view name, const std::string& labels, const std::string& value) {
  out.append(name).append(labels).append(" ").append(value).append("\n");
}

void counter(std::string& out, std::string_view name, std::string_view help, std::uint64_t value) {
  head(out, name, "counter", help);
  sample(out, name, "", std::to_string(value));
}

void gauge(std::string& out, std::string_view name, std::string_view help, double value) {
  head(out, name, "gauge", help);
  sample(out, name, "", number(value));
}

template <typename Values>
void labelled(std::string& out, std::string_view name, std::string_view type, std::string_view help,
              std::string_view label_name, const Values& values) {
  head(out, name, type, help);
  for (const auto& [key, value] : values) sample(out, name, label(label_name, key), std::to_string(value));
}

void render_database(std::string& out, const DatabaseFigures& figures) {
  gauge(out, "pg_billing_oldest_unprocessed_seconds",
        "Age of the oldest event that is not processed yet; 0 when there is none.",
        figures.oldest_unprocessed_seconds.value_or(0));
  gauge(out, "pg_billing_unprocessed_events", "Events stored and not processed yet, parked ones included.",
        static_cast<double>(figures.unprocessed));
  gauge(out, "pg_billing_failed_events",
        "Events stored that failed; explain_user() and stripe_events say why.",
        static_cast<double>(figures.failed));
  gauge(out, "pg_billing_given_up_events",
        "Events whose retries are used up; replay_stripe_event() tries again.",
        static_cast<double>(figures.given_up));
  labelled(out, "pg_billing_parked_events", "gauge",
           "Events that wait for something not known yet, by what they wait for.", "reason", figures.parked);
  labelled(out, "pg_billing_anomalies", "gauge",
           "Things in the database that a person should look at, by kind.", "kind", figures.anomalies);
  constexpr const char* kFiring = "pg_billing_alert_firing";
  head(out, kFiring, "gauge",
       "1 when the alert of billing_alerts fires, as check_billing_alerts() has seen it last.");
  for (const auto& [severity, alerts] : figures.alerts)
    for (const auto& [name, firing] : alerts)
      sample(out, kFiring, "{name=\"" + name + "\",severity=\"" + severity + "\"}", std::to_string(firing));
  if (figures.alert_check_age_seconds)
    gauge(out, "pg_billing_alert_check_age_seconds", "Since check_billing_alerts() ran last.",
          *figures.alert_check_age_seconds);
  gauge(out, "pg_billing_notifications_pending", "Notifications that nobody has delivered yet.",
        static_cast<double>(figures.notifications_pending));
  gauge(out, "pg_billing_oldest_notification_seconds",
        "Age of the oldest notification that is not delivered yet; 0 when there is none.",
        figures.oldest_notification_seconds.value_or(0));
  gauge(out, "pg_billing_notifications_given_up", "Notifications given up within the last day.",
        static_cast<double>(figures.notifications_given_up));
  if (figures.cache_hits)
    counter(out, "pg_billing_cache_hits_total", "Reads of a user's state that the cache answered.",
            *figures.cache_hits);
  if (figures.cache_misses)
    counter(out, "pg_billing_cache_misses_total", "Reads of a user's state that had to be computed.",
            *figures.cache_misses);
}

void render_shadow(std::string& out, const ShadowFigures& figures) {
  gauge(out, "pg_billing_shadow_compared", "1 when the last comparison with the other system succeeded.",
        figures.compared ? 1 : 0);
  counter(out, "pg_billing_shadow_comparisons_total", "Comparisons with the other system.",
          figures.comparisons);
  labelled(out, "pg_billing_shadow_differences", "gauge",
           "What the last two comparisons found the other system to say otherwise, by field.", "field",
           figures.differences);
}

// What this process holds in memory; nothing where the system does not tell.
std::optional<double> resident_bytes() {
  std::ifstream file("/proc/self/statm");
  double size = 0, resident = 0;
  if (!(file >> size >> resident)) return std::nullopt;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

}  // namespace

void Histogram::observe(double value) {
  const auto bound = std::lower_bound(bounds_.begin(), bounds_.end(), value);
  ++counts_[static_cast<std::size_t>(bound - bounds_.begin())];
  ++count_;
  sum_ += value;
}

void Histogram::render(std::string& out, std::string_view name) const {
  const std::string bucket = std::string(name) + "_bucket";
  std::uint64_t cumulative = 0;
  for (std::size_t i = 0; i < bounds_.size(); ++i) {
    cumulative += counts_[i];
    sample(out, bucket, label("le", number(bounds_[i])), std::to_string(cumulative));
  }
  sample(out, bucket, label("le", "+Inf"), std::to_string(count_));
  sample(out, std::string(name) + "_sum", "", number(sum_));
  sample(out, std::string(name) + "_count", "", std::to_string(count_));
}

Metrics::Metrics()
    : batch_size(kSizeBounds),
      batch_seconds(kSecondsBounds),
      request_seconds(kSecondsBounds),
      started_(std::chrono::duration_cast<std::chrono::seconds>(
                   std::chrono::system_clock::now().time_since_epoch())
                   .count()) {
  // Present from the start, so that a rate over them needs no special case.
  for (const char* outcome : {"processed", "duplicate", "parked", "ignored", "failed"}) outcomes[outcome] = 0;
  for (const char* result : {"delivered", "failed"}) deliveries[result] = 0;
}

std::uint64_t Metrics::events_handled() const {
  std::uint64_t sum = 0;
  for (const auto* counts : {&outcomes, &retried})
    for (const auto& [outcome, count] : *counts) sum += count;
  return sum;
}

std::string Metrics::render(const Now& now) const {
  std::string out;
  out.reserve(8192);
  head(out, "pg_billing_build_info", "gauge", "Always 1; the version is a label.");
  sample(out, "pg_billing_build_info", label("version", PG_BILLING_VERSION), "1");
  gauge(out, "pg_billing_start_time_seconds", "When this process started, in Unix time.",
        static_cast<double>(started_));
  gauge(out, "pg_billing_ready", "1 when /readyz says yes.", now.ready ? 1 : 0);
  counter(out, "pg_billing_webhooks_received_total", "Requests received, health pages aside.", received);
  labelled(out, "pg_billing_webhooks_rejected_total", "counter",
           "Requests answered with a refusal, by reason.", "reason", rejected);
  counter(out, "pg_billing_webhooks_acknowledged_total",
          "Requests answered with 200, each after the commit of its event.", acknowledged);
  counter(out, "pg_billing_webhooks_duplicates_total", "Acknowledged events that had been stored before.",
          duplicates);
  labelled(out, "pg_billing_events_total", "counter", "Events committed, by outcome.", "outcome", outcomes);
  labelled(out, "pg_billing_retried_events_total", "counter", "Stored events tried again later, by outcome.",
           "outcome", retried);
  labelled(out, "pg_billing_housekeeping_failures_total", "counter",
           "Calls besides webhooks that failed, by function.", "function", housekeeping_failures);
  labelled(out, "pg_billing_notification_deliveries_total", "counter",
           "Attempts of this worker to deliver a notification, by result.", "result", deliveries);
  gauge(out, "pg_billing_notifications_stopped",
        "1 when the receiver has answered 410, and this worker sends nothing until it is reloaded.",
        deliveries_stopped ? 1 : 0);
  labelled(out, "pg_billing_api_requests_total", "counter", "Requests to the HTTP API, by status.", "status",
           api_requests);
  labelled(out, "pg_billing_stripe_requests_total", "counter",
           "Requests of the outbox sent to Stripe's API, by outcome.", "outcome", stripe_requests);
  labelled(out, "pg_billing_stripe_fetches_total", "counter",
           "Objects fetched from Stripe's API to settle a doubt, by outcome.", "outcome", fetches);
  head(out, "pg_billing_batch_size", "histogram", "Events in one transaction.");
  batch_size.render(out, "pg_billing_batch_size");
  head(out, "pg_billing_batch_seconds", "histogram", "Time of one batch in the database, commit included.");
  batch_seconds.render(out, "pg_billing_batch_seconds");
  head(out, "pg_billing_request_seconds", "histogram",
       "Time of one webhook, from its first byte to its answer.");
  request_seconds.render(out, "pg_billing_request_seconds");
  counter(out, "pg_billing_batches_run_again_total",
          "Batches run again after an error of the system or a lost connection.", batches_run_again);
  gauge(out, "pg_billing_queue_events", "Events waiting for their commit, those being written included.",
        static_cast<double>(now.queue_events));
  gauge(out, "pg_billing_queue_bytes", "Bytes of request bodies held in memory.",
        static_cast<double>(now.queue_bytes));
  gauge(out, "pg_billing_http_connections", "Open client connections.",
        static_cast<double>(now.http_connections));
  gauge(out, "pg_billing_database_connections", "Database connections that are up and usable.",
        static_cast<double>(now.database_connections));
  counter(out, "pg_billing_database_connects_total", "Database connections made.", database_connects);
  counter(out, "pg_billing_database_connect_failures_total", "Attempts to connect that failed.",
          database_connect_failures);
  if (const std::optional<double> bytes = resident_bytes())
    gauge(out, "process_resident_memory_bytes", "Resident memory of this process.", *bytes);
  counter(out, "pg_billing_log_lines_dropped_total", "Log lines that nobody read in time.",
          log::dropped_lines());
  if (now.shadow) render_shadow(out, shadow);
  if (database) render_database(out, *database);
  return out;
}

}  // namespace billing::worker
