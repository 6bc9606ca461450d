// What somebody sees first: does it work, what is wrong, what comes in.
#include <boost/asio/use_awaitable.hpp>

#include "worker/operator/fragments.hpp"
#include "worker/operator/pages.hpp"

namespace billing::worker::operators {
namespace {

void put_card(Html& html, std::string_view label, std::string_view figure, std::string_view note) {
  const auto card = html.open("div", {{"class", "card"}});
  html.put("p", {{"class", "label"}}, label);
  html.put("p", {{"class", "figure"}}, figure);
  html.put("p", {{"class", "note"}}, note);
}

std::string percent(const Json& rate) {
  return rate.is_number() ? rounded(rate.get<double>() * 100, 2) + " %" : "–";
}

void put_worker(Visit& visit) {
  Html& html = visit.html;
  const Section section(visit, "Worker");
  if (const auto problem = visit.worker.problem()) {
    const auto box = html.open("div", {{"class", "failure"}});
    {
      const auto line = html.open("p", {{"class", "what"}});
      put_badge(html, "not ready");
      html.text(" " + problem->message);
    }
    html.put("p", problem->next_step);
  }
  const Metrics::Now now = visit.worker.now(0);
  const Metrics& metrics = visit.worker.metrics();
  std::uint64_t rejected = 0;
  for (const auto& [reason, count] : metrics.rejected) rejected += count;
  Facts facts(visit);
  facts.add_badge("Webhooks", now.ready ? "ready" : "not ready");
  facts.add("Mode", visit.worker.mode() + (now.shadow ? ", beside another handler (shadow)" : ""));
  facts.add("Worker", PG_BILLING_VERSION);
  facts.add("Extension", visit.worker.extension_version());
  facts.add("In its queue", counted(now.queue_events) + " events, " + counted(now.queue_bytes) + " bytes");
  facts.add("Connections", counted(now.database_connections) + " for webhooks to the database");
  facts.add("Requests", counted(metrics.received) + " since it started");
  facts.add("Refused", counted(rejected) + " of them");
}

void put_figures(Visit& visit, const Answer& windows, const Answer& waiting) {
  Html& html = visit.html;
  const Section section(visit, "Webhooks");
  if (windows.failure) put_failure(html, *windows.failure);
  if (waiting.failure) put_failure(html, *waiting.failure);
  const auto cards = html.open("div", {{"class", "cards"}});
  for (const Json& window : windows.rows) {
    if (words(at(window, "span")) != "24 hours") continue;
    put_card(html, "In 24 hours", counted(at(window, "received")),
             "received; " + counted(at(window, "duplicates")) + " further deliveries");
    put_card(html, "Did not fail", percent(at(window, "success_rate")),
             counted(at(window, "failed")) + " failed");
    put_card(html, "Takes effect within", lasting(at(window, "p95_processing_seconds")), "95 % of them");
  }
  for (const Json& row : waiting.rows) {
    put_card(html, "Parked", counted(at(row, "parked")), "wait for a user or for something not told yet");
    put_card(html, "To be retried", counted(at(row, "failed")), "failed, and due again");
    put_card(html, "Given up", counted(at(row, "given_up")), "need a replay by hand");
  }
}

void put_windows(Visit& visit, const Answer& windows) {
  if (windows.failure) return;
  Table table(visit, "Events by time of receipt",
              {"Last", "#Received", "#Processed", "#Ignored", "#Parked", "#Failed", "#Processing, 95 %",
               "#Delivery, 95 %", "Last received"});
  for (const Json& window : windows.rows) {
    const auto row = table.row();
    visit.html.put("th", {{"scope", "row"}}, words(at(window, "span")));
    for (const char* column : {"received", "processed", "ignored", "parked", "failed"})
      table.add_number(counted(at(window, column)));
    table.add_number(lasting(at(window, "p95_processing_seconds")));
    table.add_number(lasting(at(window, "p95_delivery_seconds")));
    table.add_time(at(window, "last_received_at"));
  }
}

void put_alerts_firing(Visit& visit, const Answer& alerts) {
  Html& html = visit.html;
  const Section section(visit, "Alerts");
  if (alerts.failure)
    put_failure(html, *alerts.failure);
  else if (alerts.rows.empty())
    put_empty(html, "No alert fires.", "Every alert with its threshold is under Alerts.");
  else
    put_alert_table(visit, "Alerts that fire, the most severe first", alerts.rows);
}

}  // namespace

Void put_overview(Visit& visit) {
  visit.title = "Overview";
  // The first question shows whether the database is to be had at all; the page is of use without it, too.
  const Answer windows = co_await visit.try_rows(
      "SELECT CASE extract(epoch FROM w.\"window\")::integer WHEN 300 THEN '5 minutes' WHEN 900 THEN '15 "
      "minutes'"
      " WHEN 3600 THEN '1 hour' WHEN 86400 THEN '24 hours' ELSE '7 days' END AS span, w.received, "
      "w.duplicates,"
      " w.processed, w.ignored, w.parked, w.failed, w.success_rate, w.p95_processing_seconds,"
      " w.p95_delivery_seconds, w.last_received_at AT TIME ZONE 'UTC' AS last_received_at"
      " FROM {s}.metrics_webhooks w ORDER BY w.\"window\"");
  if (windows.failure) {
    visit.status = windows.failure->status();
    put_failure(visit.html, *windows.failure);
    put_worker(visit);
    co_return;
  }
  const Answer waiting = co_await visit.try_rows(
      "SELECT count(*) FILTER (WHERE e.outcome = 'parked' AND e.retry_count < s.value::integer) AS parked,"
      " count(*) FILTER (WHERE e.outcome = 'failed' AND e.retry_count < s.value::integer) AS failed,"
      " count(*) FILTER (WHERE e.retry_count >= s.value::integer) AS given_up"
      " FROM {s}.get_billing_settings() s LEFT JOIN {s}.stripe_events e ON NOT e.processed"
      " WHERE s.name = 'retry_limit'");
  const Answer alerts = co_await visit.try_rows(
      "SELECT a.name, a.severity, a.firing, a.enabled, a.value, a.comparison, a.threshold, a.sample, "
      "a.minimum,"
      " a.since AT TIME ZONE 'UTC' AS since, a.description, a.next_step FROM {s}.billing_alerts a"
      " WHERE a.firing ORDER BY a.severity <> 'critical', a.name COLLATE \"C\"");
  put_alerts_firing(visit, alerts);
  put_figures(visit, windows, waiting);
  put_windows(visit, windows);
  co_await put_failures(visit);
  co_await put_revenue(visit);
  put_worker(visit);
}

}  // namespace billing::worker::operators
