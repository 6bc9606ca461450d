// One user's whole story: why there is access or none, and everything that it follows from.
#include <boost/asio/use_awaitable.hpp>

#include "worker/operator/fragments.hpp"
#include "worker/operator/pages.hpp"

namespace billing::worker::operators {
namespace {

constexpr const char* kAudit =
    "SELECT a.action, a.subject, a.actor, a.reason, a.event_id, a.event_created AT TIME ZONE 'UTC' AS "
    "event_created,"
    " a.created_at AT TIME ZONE 'UTC' AS created_at FROM {s}.audit_logs a WHERE a.user_id = $1"
    " ORDER BY coalesce(a.event_created, a.created_at) DESC, a.fact DESC LIMIT 100";

constexpr const char* kPayments =
    "SELECT p.payment_id, p.status, p.amount, p.currency, p.amount_refunded, p.stripe_invoice_id, "
    "p.description,"
    " p.dispute_status, coalesce(p.paid_at, p.payment_created) AT TIME ZONE 'UTC' AS at"
    " FROM {s}.payments p WHERE p.user_id = $1 ORDER BY coalesce(p.paid_at, p.payment_created) DESC NULLS "
    "LAST LIMIT 100";

constexpr const char* kEnrollments =
    "SELECT n.item_id, n.status, n.payment_id, n.enrolled_at AT TIME ZONE 'UTC' AS enrolled_at,"
    " n.ended_at AT TIME ZONE 'UTC' AS ended_at FROM {s}.enrollments n WHERE n.user_id = $1"
    " ORDER BY n.enrolled_at DESC NULLS LAST LIMIT 100";

void put_why(Visit& visit, const Json& story) {
  Html& html = visit.html;
  const auto card = html.open("div", {{"class", "card"}});
  {
    const auto line = html.open("p");
    put_badge(html, flag_of(story, "has_access") ? "has access" : "no access");
  }
  const auto list = html.open("ul", {{"class", "why"}});
  for (const Json& sentence : at(story, "why")) html.put("li", words(sentence));
}

void put_state(Visit& visit, const Json& story, const std::string& user) {
  const Section section(visit, "State");
  const Json& state = at(story, "state");
  const Json& credits = at(state, "credits");
  Facts facts(visit);
  facts.add_badge("State", words(at(state, "state")));
  facts.add("Reason", words(at(state, "reason")));
  facts.add("Next step", words(at(state, "next_step")));
  facts.add("Plan", words(at(state, "plan")));
  facts.add_code("Price", words(at(state, "price_id")));
  facts.add_time("Access until", at(state, "access_until"));
  facts.add_time("Renews", at(state, "renews_at"));
  facts.add_time("Ends", at(state, "ends_at"));
  facts.add_time("Trial ends", at(state, "trial_end"));
  facts.add("May purchase", words(at(state, "can_purchase")));
  facts.add_link("Credits", counted(at(credits, "available")) + " available",
                 Link("/credits").with("user", user));
  facts.add("Mode", words(at(story, "mode")));
  if (!at(state, "scheduled_change").is_null())
    facts.add("Will change", words(at(state, "scheduled_change")));
  for (const Json& grant : at(state, "access_grants"))
    facts.add("Given access", words(at(grant, "plan")) + ", until " + words(at(grant, "until")) + ", " +
                                  words(at(grant, "reason")));
}

void put_subscriptions(Visit& visit, const Json& state) {
  const Section section(visit, "Subscriptions");
  const Json& subscriptions = at(state, "subscriptions");
  if (subscriptions.empty()) {
    put_empty(visit.html, "This user has no subscription.", "");
    return;
  }
  Table table(visit, "The newest first",
              {"Subscription", "State", "At Stripe", "Prices", "Period from", "Until"});
  for (const Json& subscription : subscriptions) {
    const std::string id = words(at(subscription, "stripe_subscription_id"));
    const auto row = table.row();
    {
      const auto name = table.head();
      put_code(visit.html, id, Link("/events").with("object", id));
    }
    table.add_badge(words(at(subscription, "state")));
    table.add(words(at(subscription, "stripe_status")));
    std::string prices;
    for (const Json& item : at(subscription, "items"))
      prices +=
          (prices.empty() ? "" : ", ") + words(at(item, "quantity")) + " × " + words(at(item, "price_id"));
    table.add(prices);
    table.add_time(at(subscription, "current_period_start"));
    table.add_time(at(subscription, "current_period_end"));
  }
}

void put_payments(Visit& visit, const Json& payments, const Json& enrollments) {
  Html& html = visit.html;
  const Section section(visit, "Payments");
  if (payments.empty()) {
    put_empty(html, "No payment of this user is known.", "");
  } else {
    Table table(visit, "The latest first, 100 at most",
                {"When", "Payment", "#Amount", "#Refunded", "Status", "For"});
    for (const Json& payment : payments) {
      const std::string currency = words(at(payment, "currency"));
      const auto row = table.row();
      table.add_time(at(payment, "at"));
      {
        const auto name = table.head();
        put_code(html, words(at(payment, "payment_id")),
                 Link("/events").with("object", words(at(payment, "payment_id"))));
      }
      table.add_number(money(at(payment, "amount"), currency));
      table.add_number(at(payment, "amount_refunded") == 0 ? ""
                                                           : money(at(payment, "amount_refunded"), currency));
      table.add_badge(words(at(payment, "status")));
      const std::string invoice = words(at(payment, "stripe_invoice_id"));
      const std::string description = words(at(payment, "description"));
      table.add(description.empty() ? invoice : description);
    }
  }
  if (enrollments.empty()) return;
  Table table(visit, "What the payments bought", {"Item", "Status", "Since", "Ended", "Payment"});
  for (const Json& enrollment : enrollments) {
    const auto row = table.row();
    {
      const auto name = table.head();
      put_code(html, words(at(enrollment, "item_id")));
    }
    table.add_badge(words(at(enrollment, "status")));
    table.add_time(at(enrollment, "enrolled_at"));
    table.add_time(at(enrollment, "ended_at"));
    table.add_code(words(at(enrollment, "payment_id")));
  }
}

void put_entitlements(Visit& visit, const Answer& answer) {
  Html& html = visit.html;
  const Section section(visit, "Entitlements");
  if (answer.failure) {
    put_failure(html, *answer.failure);
    return;
  }
  const Json& told = answer.rows.empty() ? answer.rows : at(answer.rows.front(), "told");
  const Json& features = at(told, "features");
  if (features.empty()) {
    put_empty(html, "No plan names a feature.",
              "Features are set with upsert_plan() or set_user_entitlement().");
    return;
  }
  Table table(visit, "What the user may do now",
              {"Feature", "Allowed", "#Limit", "#Used", "#Left", "Next reset", "From", "Why"});
  for (const auto& [name, feature] : features.items()) {
    const std::string called = features.is_object() ? name : words(at(feature, "feature"));
    const bool unlimited = flag_of(feature, "unlimited");
    const auto row = table.row();
    {
      const auto head = table.head();
      put_code(html, called);
    }
    table.add_badge(flag_of(feature, "allowed") ? "yes" : "no");
    table.add_number(unlimited ? "unlimited" : counted(at(feature, "limit")));
    table.add_number(counted(at(feature, "used")));
    table.add_number(counted(at(feature, "remaining")));
    table.add_time(at(feature, "next_reset_at"));
    table.add_code(words(at(feature, "source")));
    table.add(words(at(feature, "reason")));
  }
}

void put_customers(Visit& visit, const Json& story, const std::string& user) {
  Html& html = visit.html;
  const Section section(visit, "Customers at Stripe");
  const Json& links = at(story, "customer_links");
  if (links.empty()) {
    put_empty(html, "No Stripe customer is linked to this user.",
              "Those who wait for a link are under Parked.");
    return;
  }
  {
    const auto line = html.open("p");
    html.link(Link("/events").with("user", user), "All events of this user");
  }
  Table table(visit, "Who pays for this user", {"Customer", "Linked by", "Also claimed by"});
  for (const Json& link : links) {
    const std::string id = words(at(link, "stripe_customer_id"));
    const auto row = table.row();
    {
      const auto name = table.head();
      put_code(html, id, Link("/events").with("customer", id));
    }
    table.add(words(at(link, "source")));
    const std::string other = words(at(link, "conflict_user_id"));
    table.add_code(other, Link("/conflict").with("customer", id));
  }
}

}  // namespace

Void put_user(Visit& visit) {
  const std::string user = visit.request.query.get("id");
  if (user.empty()) throw Failure(400, "the address names no user", "Look for one under Users.");
  const Json told = co_await visit.rows("SELECT {s}.explain_user($1) AS story", user);
  const Json alias =
      co_await visit.rows("SELECT a.now_user_id, a.kind FROM {s}.user_aliases a WHERE a.user_id = $1", user);
  const Json erased = co_await visit.rows(
      "SELECT u.erased_at AT TIME ZONE 'UTC' AS at FROM {s}.billing_users u"
      " WHERE u.user_id = $1 AND u.erased_at IS NOT NULL",
      user);
  const Json payments = co_await visit.rows(kPayments, user);
  const Json enrollments = co_await visit.rows(kEnrollments, user);
  const Answer entitlements = co_await visit.try_rows("SELECT {s}.get_user_entitlements($1) AS told", user);
  const Json audit = co_await visit.rows(kAudit, user);
  const Json waiting = co_await visit.rows(
      "SELECT " + std::string(kEventColumns) +
          " FROM {s}.stripe_events e WHERE NOT e.processed AND e.stripe_customer_id IN"
          " (SELECT l.stripe_customer_id FROM {s}.stripe_customer_links l WHERE l.user_id = $1)"
          " ORDER BY e.created_at DESC LIMIT 50",
      user);
  const Json& story = at(told.front(), "story");
  Html& html = visit.html;
  visit.title = "User " + user;
  if (!alias.empty()) {
    const std::string now = words(at(alias.front(), "now_user_id"));
    const auto line = html.open("p", {{"class", "notice"}});
    html.text("This id was " + words(at(alias.front(), "kind")) + ": the user is now ");
    html.link(Link("/user").with("id", now), now);
    html.text(".");
  }
  if (!erased.empty()) {
    const auto line = html.open("p", {{"class", "notice"}});
    html.text("Who this user is was erased at ");
    put_time(html, at(erased.front(), "at"));
    html.text(".");
  }
  put_why(visit, story);
  put_state(visit, story, user);
  put_subscriptions(visit, at(story, "state"));
  put_payments(visit, payments, enrollments);
  put_entitlements(visit, entitlements);
  put_customers(visit, story, user);
  if (!waiting.empty()) {
    const Section section(visit, "Events that wait");
    put_event_table(visit, "Of this user's customers, 50 at most", waiting);
  }
  const Section section(visit, "What happened");
  if (audit.empty())
    put_empty(html, "Nothing is in the audit log for this user.", "");
  else
    put_audit_table(visit, "The audit log, the latest first, 100 entries at most", audit);
}

}  // namespace billing::worker::operators
