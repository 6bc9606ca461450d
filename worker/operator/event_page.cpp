// One event: what came of it, what it carried, and the button that applies it again.
#include <boost/asio/use_awaitable.hpp>

#include "core/redaction.hpp"
#include "worker/operator/fragments.hpp"
#include "worker/operator/pages.hpp"
#include "worker/text.hpp"

namespace billing::worker::operators {
namespace {

constexpr std::size_t kShownBytes = 200 * 1000;

void put_row(Visit& visit, const Json& event) {
  const std::string customer = words(at(event, "stripe_customer_id"));
  const std::string user = words(at(event, "user_id"));
  const std::string object = words(at(event, "object_id"));
  Facts facts(visit);
  facts.add_badge("Outcome", words(at(event, "outcome")));
  facts.add_code("Type", words(at(event, "event_type")));
  facts.add_code("Object", object, Link("/events").with("object", object));
  facts.add_code("Customer", customer, Link("/events").with("customer", customer));
  facts.add_code("User", user, Link("/user").with("id", user));
  facts.add("Mode", flag_of(event, "livemode") ? "live" : "test");
  facts.add_code("API version", words(at(event, "api_version")));
  facts.add_time("Made by Stripe", at(event, "stripe_created"));
  facts.add_time("Received", at(event, "created_at"));
  facts.add_time("Took effect", at(event, "processed_at"));
  facts.add_code("Came in by", words(at(event, "endpoint")));
  facts.add("Delivered again", counted(at(event, "duplicates")) + " times");
  facts.add("Tries", counted(at(event, "retry_count")));
  if (!flag_of(event, "processed")) {
    facts.add_time("Next try", at(event, "next_retry_at"));
    facts.add_code("Waits for", words(at(event, "waiting_for")));
  }
}

void put_trouble(Visit& visit, const Json& event) {
  const std::string error = words(at(event, "error"));
  const std::string waiting = words(at(event, "waiting_for"));
  Html& html = visit.html;
  if (!error.empty()) {
    const auto box = html.open("div", {{"class", "failure"}});
    html.put("p", {{"class", "what"}}, error);
  }
  if (waiting.starts_with("customer:") && !flag_of(event, "processed")) {
    const std::string customer = waiting.substr(9);
    const auto line = html.open("p");
    html.text("It takes effect once somebody says whose customer this is: ");
    html.link(Link("/link").with("customer", customer), "link " + customer + " to a user");
  }
}

void put_replay(Visit& visit, const std::string& id) {
  const Section section(visit, "Apply it again");
  visit.html.put(
      "p", "Nothing is doubled by it. Mend first what made it fail; what waits for a user wants a link.");
  const auto form = open_change(visit, "/event/replay");
  visit.html.single("input", {{"type", "hidden"}, {"name", "id"}, {"value", id}});
  put_reason_and_button(visit, "Replay the event");
}

void put_payload(Visit& visit, const Json& event) {
  Html& html = visit.html;
  const Section section(visit, "Payload");
  const std::string payload = words(at(event, "payload"));
  if (payload.empty()) {
    put_empty(html, "Its payload is not stored.",
              "Either it was never kept (events outside billing.scope), or retention has dropped it.");
    return;
  }
  std::string shown;
  try {
    Json parsed = parse_json(payload);
    redact(parsed);
    shown = parsed.dump(2, ' ', false, Json::error_handler_t::replace);
  } catch (const JsonError& error) {
    put_empty(html, "It cannot be shown without what is personal in it.", error.what());
    return;
  }
  html.put("p", {{"class", "lead"}},
           "Names, addresses, what identifies a card, free text, links, secrets, and metadata that no rule "
           "reads are "
           "shown as null.");
  html.put("pre", {{"tabindex", "0"}, {"role", "region"}, {"aria-label", "Payload"}},
           clip(shown, kShownBytes));
  if (shown.size() > kShownBytes)
    html.put("p", {{"class", "quiet"}}, "It goes on; the rest is too long for a page.");
}

}  // namespace

void put_audit_table(Visit& visit, std::string_view caption, const Json& entries) {
  Html& html = visit.html;
  Table table(visit, caption, {"When", "What", "Of what", "By", "Reason", "Event"});
  for (const Json& entry : entries) {
    const auto row = table.row();
    const Json& told = at(entry, "event_created");
    table.add_time(told.is_null() ? at(entry, "created_at") : told);
    {
      const auto name = table.head();
      put_code(html, words(at(entry, "action")));
    }
    table.add_code(words(at(entry, "subject")));
    table.add(words(at(entry, "actor")));
    {
      const auto reason = html.open("td", {{"class", "wide"}});
      const std::string text = words(at(entry, "reason"));
      html.text(text.empty() ? "–" : text);
    }
    const std::string event = words(at(entry, "event_id"));
    table.add_code(event, Link("/event").with("id", event));
  }
}

Void put_event(Visit& visit) {
  const std::string id = visit.request.query.get("id");
  const Json found = co_await visit.rows(
      "SELECT " + std::string(kEventColumns) +
          ", e.object_id, e.api_version, e.endpoint, e.duplicates, e.stripe_created AT TIME ZONE 'UTC' AS "
          "stripe_created,"
          " e.processed_at AT TIME ZONE 'UTC' AS processed_at, e.next_retry_at AT TIME ZONE 'UTC' AS "
          "next_retry_at,"
          " l.user_id, p.payload FROM {s}.stripe_events e"
          " LEFT JOIN {s}.stripe_customer_links l ON l.stripe_customer_id = e.stripe_customer_id"
          " LEFT JOIN {s}.stripe_event_payloads p ON p.stripe_event_id = e.stripe_event_id"
          " AND p.stripe_created = e.stripe_created WHERE e.stripe_event_id = $1",
      id);
  if (found.empty())
    throw Failure(
        404, "there is no event " + json_string(clip(id, 255)),
        "Look for it by its time or its customer under Events. What was never delivered is on Stripe's own "
        "page of the endpoint.");
  const Json& event = found.front();
  const Json done = co_await visit.rows(
      "SELECT a.action, a.subject, a.actor, a.reason, a.event_id, a.event_created AT TIME ZONE 'UTC' AS "
      "event_created,"
      " a.created_at AT TIME ZONE 'UTC' AS created_at FROM {s}.audit_logs a"
      " WHERE a.user_id IN ($2, '') AND (a.event_id = $1 OR a.subject = $1) ORDER BY a.created_at, a.fact "
      "LIMIT 100",
      id, words(at(event, "user_id")));
  visit.title = "Event " + id;
  put_trouble(visit, event);
  put_row(visit, event);
  {
    const Section section(visit, "What it did");
    if (done.empty())
      put_empty(visit.html, "Nothing is in the audit log because of it.",
                "Most events only bring an object up to date; what they changed shows on the user's page.");
    else
      put_audit_table(visit, "The audit log, as far as this event is concerned", done);
  }
  put_replay(visit, id);
  put_payload(visit, event);
}

boost::asio::awaitable<Done> replay_event(Visit& visit) {
  const std::string id = required_field(visit, "id", "the event");
  const std::string reason = required_field(visit, "reason", "a reason");
  const Json answer = co_await visit.rows("SELECT {s}.replay_stripe_event($1, $2) AS answer", id, reason);
  const Json& result = at(answer.front(), "answer");
  std::string notice = "The event was applied again: " + words(at(result, "outcome")) + ".";
  if (const std::string error = words(at(result, "error")); !error.empty()) notice += " " + error;
  co_return Done{result, std::move(notice), Link("/event").with("id", id).text()};
}

}  // namespace billing::worker::operators
