// Events as they came in, the latest first, by whatever somebody looks for.
#include <boost/asio/use_awaitable.hpp>

#include "worker/operator/fragments.hpp"
#include "worker/operator/pages.hpp"

namespace billing::worker::operators {
namespace {

constexpr std::size_t kRows = 50;

// The conditions of a statement, each with the value that is bound for it.
struct Conditions {
  std::string sql;
  Connections::Values values;

  // `%` stands for the value's place.
  void add(std::string condition, std::string value) {
    values.push_back(std::move(value));
    const std::string place = "$" + std::to_string(values.size());
    for (std::size_t at = condition.find('%'); at != std::string::npos; at = condition.find('%', at))
      condition.replace(at, 1, place);
    sql += " AND " + condition;
  }
};

// What the fields of the filter ask for.
Conditions conditions_of(const Form& query) {
  Conditions conditions;
  const std::string outcome = query.get("outcome");
  if (outcome == "given_up")
    conditions.sql +=
        " AND NOT e.processed AND e.retry_count >= (SELECT s.value::integer FROM {s}.get_billing_settings() s"
        " WHERE s.name = 'retry_limit')";
  else if (outcome == "unprocessed")
    conditions.sql += " AND NOT e.processed";
  else if (!outcome.empty())
    conditions.add("e.outcome = %", outcome);
  if (const std::string id = query.get("id"); !id.empty()) conditions.add("e.stripe_event_id = %", id);
  if (const std::string type = query.get("type"); !type.empty()) {
    // "invoice.*" is every event of invoices.
    if (type.ends_with('*'))
      conditions.add("starts_with(e.event_type, %)", type.substr(0, type.size() - 1));
    else
      conditions.add("e.event_type = %", type);
  }
  if (const std::string customer = query.get("customer"); !customer.empty())
    conditions.add("e.stripe_customer_id = %", customer);
  if (const std::string user = query.get("user"); !user.empty())
    conditions.add(
        "e.stripe_customer_id IN (SELECT l.stripe_customer_id FROM {s}.stripe_customer_links l WHERE "
        "l.user_id = %)",
        user);
  if (const std::string object = query.get("object"); !object.empty())
    conditions.add("e.object_id = %", object);
  if (const std::string waiting = query.get("waiting"); !waiting.empty())
    conditions.add("e.waiting_for = %", waiting);
  if (const std::string from = query.get("from"); !from.empty())
    conditions.add("e.created_at >= %::timestamp AT TIME ZONE 'UTC'", from);
  if (const std::string to = query.get("to"); !to.empty())
    conditions.add("e.created_at < %::timestamp AT TIME ZONE 'UTC'", to);
  return conditions;
}

Link with_filter(const Form& query) {
  Link link("/events");
  link.with("outcome", query.get("outcome"))
      .with("type", query.get("type"))
      .with("customer", query.get("customer"));
  link.with("user", query.get("user")).with("id", query.get("id")).with("object", query.get("object"));
  link.with("waiting", query.get("waiting")).with("from", query.get("from")).with("to", query.get("to"));
  return link;
}

void put_filter(Visit& visit) {
  Html& html = visit.html;
  const Form& query = visit.request.query;
  const auto form = html.open("form", {{"method", "get"},
                                       {"action", "/events"},
                                       {"class", "filter"},
                                       {"role", "search"},
                                       {"aria-label", "Filter events"}});
  put_choice(visit, "outcome", "Outcome",
             {{"", "any"},
              {"processed", "processed"},
              {"parked", "parked"},
              {"failed", "failed"},
              {"given_up", "given up"},
              {"unprocessed", "not processed yet"},
              {"ignored", "ignored"}},
             query.get("outcome"));
  put_field(visit, {"type", "Type (invoice.* for all)", query.get("type")});
  put_field(visit, {"user", "User", query.get("user")});
  put_field(visit, {"customer", "Customer", query.get("customer")});
  put_field(visit, {"object", "Object", query.get("object")});
  put_field(visit, {"id", "Event id", query.get("id")});
  put_field(visit, {"from", "Received from (UTC)", query.get("from"), "", false, "datetime-local"});
  put_field(visit, {"to", "Until before (UTC)", query.get("to"), "", false, "datetime-local"});
  if (!query.get("waiting").empty()) put_field(visit, {"waiting", "Waits for", query.get("waiting")});
  html.put("button", {{"type", "submit"}}, "Show");
  if (visit.request.target.find('?') != std::string::npos) html.link("/events", "Show all");
}

}  // namespace

void put_event_table(Visit& visit, std::string_view caption, const Json& events) {
  Html& html = visit.html;
  Table table(visit, caption, {"Received", "Outcome", "Event", "Type", "Customer", "Why"});
  for (const Json& event : events) {
    const auto row = table.row();
    table.add_time(at(event, "created_at"));
    table.add_badge(words(at(event, "outcome")));
    const std::string id = words(at(event, "stripe_event_id"));
    {
      const auto name = table.head();
      put_code(html, id, Link("/event").with("id", id));
    }
    table.add_code(words(at(event, "event_type")));
    const std::string customer = words(at(event, "stripe_customer_id"));
    table.add_code(customer, Link("/events").with("customer", customer));
    const std::string error = words(at(event, "error"));
    const std::string waiting = words(at(event, "waiting_for"));
    const auto why = html.open("td", {{"class", error.empty() ? "word" : "wide"}});
    if (!error.empty())
      html.text(error);
    else if (!waiting.empty() && !flag_of(event, "processed"))
      html.text("waits for " + waiting);
    else
      html.text("–");
  }
}

Void put_events(Visit& visit) {
  visit.title = "Events";
  const Form& query = visit.request.query;
  Conditions conditions = conditions_of(query);
  if (const std::string before = query.get("before"); !before.empty()) {
    conditions.add("(e.created_at, e.stripe_event_id) < (%::timestamp AT TIME ZONE 'UTC',", before);
    conditions.values.push_back(query.get("before_id"));
    conditions.sql += " $" + std::to_string(conditions.values.size()) + ")";
  }
  Json events = co_await visit.ask(
      "SELECT " + std::string(kEventColumns) + " FROM {s}.stripe_events e WHERE true" + conditions.sql +
          " ORDER BY e.created_at DESC, e.stripe_event_id DESC LIMIT " + std::to_string(kRows + 1),
      conditions.values);
  put_filter(visit);
  Html& html = visit.html;
  if (events.empty()) {
    if (conditions.sql.empty())
      put_empty(html, "No event has come in yet.",
                "Point a webhook endpoint of Stripe's at the worker, or try one here: stripe trigger "
                "customer.created, with stripe listen forwarding to it.");
    else
      put_empty(html, "No event is like that.",
                "Take something out of the filter. What was never delivered is on Stripe's own page of the "
                "endpoint.");
    co_return;
  }
  const bool more = events.size() > kRows;
  if (more) events.erase(events.end() - 1);
  put_event_table(visit, "The latest first", events);
  const auto pager = html.open("nav", {{"class", "pager"}, {"aria-label", "More events"}});
  if (!query.get("before").empty()) html.link(with_filter(query), "Back to the latest");
  if (more) {
    const Json& last = events.back();
    html.link(with_filter(query)
                  .with("before", words(at(last, "created_at")))
                  .with("before_id", words(at(last, "stripe_event_id"))),
              "Older events");
  }
}

}  // namespace billing::worker::operators
