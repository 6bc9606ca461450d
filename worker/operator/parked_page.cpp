// What waits for a person: customers that nobody is linked to, and customers that Stripe's data gives to two
// users.
#include <boost/asio/use_awaitable.hpp>

#include "worker/operator/fragments.hpp"
#include "worker/operator/pages.hpp"

namespace billing::worker::operators {
namespace {

constexpr const char* kUnlinked = R"sql(
SELECT substr(e.waiting_for, 10) AS stripe_customer_id, count(*) AS events,
       min(e.created_at) AT TIME ZONE 'UTC' AS since, string_agg(DISTINCT e.event_type, ', ') AS types
  FROM {s}.stripe_events e
 WHERE NOT e.processed AND e.waiting_for >= 'customer:' AND e.waiting_for < 'customer;'
 GROUP BY 1 ORDER BY min(e.created_at) LIMIT 200)sql";

constexpr const char* kMoney = R"sql(
SELECT u.payment_id, u.stripe_customer_id, u.status, u.amount, u.currency, u.payment_created AT TIME ZONE 'UTC' AS made
  FROM {s}.unlinked_payments u ORDER BY u.payment_created LIMIT 200)sql";

constexpr const char* kConflicts = R"sql(
SELECT l.stripe_customer_id, l.user_id, l.source, l.conflict_user_id, l.conflict_source, l.conflict_event_id
  FROM {s}.stripe_customer_links l WHERE l.conflict_user_id IS NOT NULL ORDER BY 1 LIMIT 200)sql";

constexpr const char* kOthers = R"sql(
SELECT e.waiting_for, count(*) AS events, min(e.created_at) AT TIME ZONE 'UTC' AS since
  FROM {s}.stripe_events e
 WHERE NOT e.processed AND e.waiting_for IS NOT NULL
   AND NOT (e.waiting_for >= 'customer:' AND e.waiting_for < 'customer;')
 GROUP BY 1 ORDER BY 3 LIMIT 200)sql";

void put_unlinked(Visit& visit, const Json& customers) {
  Html& html = visit.html;
  const Section section(visit, "Customers without a user");
  if (customers.empty()) {
    put_empty(
        html, "No event waits for a user.",
        "Customers are linked by themselves where checkouts carry client_reference_id or metadata.user_id.");
    return;
  }
  Table table(visit, "Their events take effect once somebody says who they are",
              {"Customer", "#Events", "Waiting since", "Types", "To do"});
  for (const Json& customer : customers) {
    const std::string id = words(at(customer, "stripe_customer_id"));
    const auto row = table.row();
    {
      const auto name = table.head();
      put_code(html, id, Link("/events").with("customer", id));
    }
    table.add_number(counted(at(customer, "events")));
    table.add_time(at(customer, "since"));
    {
      const auto types = html.open("td", {{"class", "wide"}});
      html.text(words(at(customer, "types")));
    }
    const auto step = table.cell();
    put_step(html, Link("/link").with("customer", id), "Link", id);
  }
}

void put_conflicts(Visit& visit, const Json& conflicts) {
  Html& html = visit.html;
  const Section section(visit, "Customers of two users");
  if (conflicts.empty()) {
    put_empty(html, "No customer is claimed by two users.", "");
    return;
  }
  Table table(visit, "Stripe's data names another user than the one who is linked",
              {"Customer", "Linked to", "By", "Also claimed by", "By", "To do"});
  for (const Json& conflict : conflicts) {
    const std::string id = words(at(conflict, "stripe_customer_id"));
    const std::string user = words(at(conflict, "user_id"));
    const std::string other = words(at(conflict, "conflict_user_id"));
    const auto row = table.row();
    {
      const auto name = table.head();
      put_code(html, id, Link("/events").with("customer", id));
    }
    table.add_code(user, Link("/user").with("id", user));
    table.add(words(at(conflict, "source")));
    table.add_code(other, Link("/user").with("id", other));
    table.add(words(at(conflict, "conflict_source")));
    const auto step = table.cell();
    put_step(html, Link("/conflict").with("customer", id), "Decide", id);
  }
}

void put_money(Visit& visit, const Answer& payments) {
  Html& html = visit.html;
  const Section section(visit, "Money without a user");
  if (payments.failure) {
    put_failure(html, *payments.failure);
    return;
  }
  if (payments.rows.empty()) {
    put_empty(html, "Every payment is known to be somebody's.", "");
    return;
  }
  Table table(visit, "Payments whose payer nobody knows",
              {"Made", "Payment", "Payer", "#Amount", "Status", "To do"});
  for (const Json& payment : payments.rows) {
    const std::string payer = words(at(payment, "stripe_customer_id"));
    const auto row = table.row();
    table.add_time(at(payment, "made"));
    {
      const auto name = table.head();
      put_code(html, words(at(payment, "payment_id")));
    }
    table.add_code(payer);
    table.add_number(money(at(payment, "amount"), words(at(payment, "currency"))));
    table.add_badge(words(at(payment, "status")));
    const auto step = table.cell();
    put_step(html, Link("/link").with("customer", payer), "Link", payer);
  }
}

void put_others(Visit& visit, const Json& others) {
  Html& html = visit.html;
  const Section section(visit, "Waiting for something else");
  if (others.empty()) {
    put_empty(html, "No event waits for a price, a charge or a lock.", "");
    return;
  }
  Table table(visit, "They are taken up by themselves once it comes", {"What", "#Events", "Waiting since"});
  for (const Json& other : others) {
    const std::string what = words(at(other, "waiting_for"));
    const auto row = table.row();
    {
      const auto name = table.head();
      put_code(html, what, Link("/events").with("waiting", what).with("outcome", "unprocessed"));
    }
    table.add_number(counted(at(other, "events")));
    table.add_time(at(other, "since"));
  }
}

}  // namespace

Void put_parked(Visit& visit) {
  visit.title = "Parked";
  const Json unlinked = co_await visit.rows(kUnlinked);
  const Json conflicts = co_await visit.rows(kConflicts);
  const Json others = co_await visit.rows(kOthers);
  const Answer payments = co_await visit.try_rows(kMoney);
  put_unlinked(visit, unlinked);
  put_conflicts(visit, conflicts);
  put_money(visit, payments);
  put_others(visit, others);
}

}  // namespace billing::worker::operators
