// Two forms that say whose a customer is: of one that is nobody's yet, and of one that two users claim.
#include <boost/asio/use_awaitable.hpp>

#include "worker/operator/fragments.hpp"
#include "worker/operator/pages.hpp"
#include "worker/text.hpp"

namespace billing::worker::operators {

std::string required_field(const Visit& visit, const std::string& name, const std::string& label) {
  std::string value = visit.request.form.get(name);
  if (value.empty())
    throw Failure(400, "the form does not say " + label, "Go back, fill it in, and send the form again.");
  return value;
}

Void put_link(Visit& visit) {
  const std::string customer = visit.request.query.get("customer");
  if (customer.empty()) throw Failure(400, "the address names no customer", "Choose one under Parked.");
  const Json link = co_await visit.rows(
      "SELECT l.user_id FROM {s}.stripe_customer_links l WHERE l.stripe_customer_id = $1", customer);
  const Json events =
      co_await visit.rows("SELECT " + std::string(kEventColumns) +
                              " FROM {s}.stripe_events e WHERE e.waiting_for = 'customer:' || $1"
                              " AND NOT e.processed ORDER BY e.created_at DESC LIMIT 50",
                          customer);
  visit.title = "Link " + customer;
  Html& html = visit.html;
  if (!link.empty() && !at(link.front(), "user_id").is_null()) {
    const std::string user = words(at(link.front(), "user_id"));
    const auto line = html.open("p");
    html.text("This customer is linked already, to ");
    html.link(Link("/user").with("id", user), user);
    html.text(". A customer never moves between users by a link.");
    co_return;
  }
  html.put("p", {{"class", "lead"}},
           "Whose is it? Stripe's Dashboard shows the customer's name and address; they are not shown here. "
           "The events "
           "that wait for the link take effect with it.");
  {
    const auto form = open_change(visit, "/link");
    html.single("input", {{"type", "hidden"}, {"name", "customer"}, {"value", customer}});
    put_field(visit, {"user", "User id", "", "As your application knows the user, exactly.", true});
    put_reason_and_button(visit, "Link the customer");
  }
  const Section section(visit, "What waits for it");
  if (events.empty())
    put_empty(html, "No event waits for this customer.", "A link made now counts for what is still to come.");
  else
    put_event_table(visit, "The latest first, 50 at most", events);
}

boost::asio::awaitable<Done> link_customer(Visit& visit) {
  const std::string customer = required_field(visit, "customer", "which customer");
  const std::string user = required_field(visit, "user", "which user");
  const std::string reason = required_field(visit, "reason", "a reason");
  const Json answer = co_await visit.rows(
      "SELECT {s}.link_stripe_customer($1, $2, jsonb_build_object('reason', $3)) AS answer", user, customer,
      reason);
  const Json& result = at(answer.front(), "answer");
  co_return Done{result,
                 customer + " is linked to " + words(at(result, "user_id")) + "; " +
                     counted(at(result, "events_applied")) + " waiting events took effect.",
                 Link("/user").with("id", words(at(result, "user_id"))).text()};
}

Void put_conflict(Visit& visit) {
  const std::string customer = visit.request.query.get("customer");
  const Json found = co_await visit.rows(
      "SELECT l.user_id, l.source, l.event_id, l.linked_by, l.conflict_user_id, l.conflict_source, "
      "l.conflict_event_id"
      " FROM {s}.stripe_customer_links l WHERE l.stripe_customer_id = $1 AND l.conflict_user_id IS NOT NULL",
      customer);
  if (found.empty())
    throw Failure(404, "no two users claim the customer " + json_string(clip(customer, 255)),
                  "What is open is under Parked.");
  const Json& link = found.front();
  visit.title = "Whose is " + customer + "?";
  Html& html = visit.html;
  html.put("p", {{"class", "lead"}},
           "If it stays, the other claim is settled. If it moves, its subscriptions, payments, enrollments "
           "and trials "
           "follow, and what is left of the credits that its invoices granted is voided and granted anew.");
  const auto form = open_change(visit, "/conflict");
  html.single("input", {{"type", "hidden"}, {"name", "customer"}, {"value", customer}});
  {
    const auto choice = html.open("fieldset");
    html.put("legend", "The customer is");
    const auto option = [&](const Json& user, const std::string& note) {
      const auto label = html.open("label");
      html.single("input", {{"type", "radio"}, {"name", "user"}, {"value", words(user)}, {"required", true}});
      html.text(words(user) + note);
    };
    option(at(link, "user_id"), " (linked now, by " + words(at(link, "source")) + ")");
    option(at(link, "conflict_user_id"), " (named by " + words(at(link, "conflict_source")) + " in " +
                                             words(at(link, "conflict_event_id")) + ")");
  }
  put_reason_and_button(visit, "Settle it");
}

boost::asio::awaitable<Done> resolve_conflict(Visit& visit) {
  const std::string customer = required_field(visit, "customer", "which customer");
  const std::string user = required_field(visit, "user", "which user");
  const std::string reason = required_field(visit, "reason", "a reason");
  const Json answer =
      co_await visit.rows("SELECT {s}.resolve_link_conflict($1, $2, $3) AS answer", customer, user, reason);
  const Json& result = at(answer.front(), "answer");
  const std::string status = words(at(result, "status"));
  if (!flag_of(result, "success"))
    throw Failure(409, "the conflict is not settled: " + words(at(result, "reason")),
                  "Next step: " + words(at(result, "next_step")) + ".");
  co_return Done{
      result,
      customer + (status == "moved" ? " has moved to " : " stays with ") + words(at(result, "user_id")) + ".",
      "/parked"};
}

}  // namespace billing::worker::operators
