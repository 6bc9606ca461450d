#include "functions/payment_reader.hpp"

#include <algorithm>
#include <iterator>

#include "core/fields.hpp"
#include "core/payer.hpp"
#include "pg/spi.hpp"

namespace billing::payments {

namespace {

pg::Statement of_customers(
    "SELECT o.stripe_account, o.object_type, o.object_id, o.object FROM @stripe_objects o"
    " WHERE o.stripe_customer_id = ANY ($1) AND o.livemode = $2"
    "  AND o.object_type IN ('payment_intent', 'charge', 'checkout.session')");

#define COLUMNS                                                                   \
  "o.object_type, o.object_id, o.stripe_customer_id, o.object, o.event_created, " \
  "left(o.event_id, 6) = 'fetch_' AS fetched"
#define OF_KEY " o.stripe_account = k.account AND o.livemode = $3"
// What has the payment's id or names it; charges also through an invoice (before basil: one that the payment
// was known to be of, though its intent names it no more), or that the intent names, or that are known to
// belong to it; with the charges their refunds and disputes.
pg::Statement read_objects(
    "WITH k AS (SELECT * FROM unnest($1, $2) k(account, id)),"
    " own AS (SELECT k.account, k.id, " COLUMNS "  FROM k JOIN @stripe_objects o ON" OF_KEY
    "   AND o.object_type IN ('payment_intent', 'charge', 'checkout.session') AND o.object_id = k.id),"
    " named AS (SELECT k.account, k.id, " COLUMNS
    "  FROM k JOIN @stripe_objects o ON o.parent_id = k.id AND o.object_type IN ('charge', "
    "'checkout.session')"
    "   AND" OF_KEY
    "),"
    " paying AS (SELECT k.account, k.id, " COLUMNS
    "  FROM k JOIN @stripe_objects o ON o.object_type = 'invoice_payment'"
    "   AND o.object -> 'payment' ->> 'payment_intent' = k.id AND" OF_KEY
    "),"
    " told AS (SELECT * FROM own UNION ALL SELECT * FROM named UNION ALL SELECT * FROM paying),"
    " invoices AS (SELECT t.account, t.id, t.object ->> 'invoice' AS invoice FROM told t"
    "  UNION SELECT t.account, t.id, p.stripe_invoice_id FROM told t JOIN @payments p"
    "   ON p.stripe_customer_id = t.stripe_customer_id AND p.payment_id = t.id),"
    " charges AS (SELECT k.account, k.id, " COLUMNS
    "  FROM invoices k JOIN @stripe_objects o ON o.parent_id = k.invoice AND o.object_type = 'charge'"
    "   AND" OF_KEY
    "   AND o.object ->> 'payment_intent' = k.id"
    " UNION SELECT k.account, k.id, " COLUMNS
    "  FROM (SELECT i.account, i.id, i.object ->> 'latest_charge' AS charge FROM own i"
    "    UNION SELECT * FROM unnest($4, $5, $6) c(account, id, charge)) k"
    "   JOIN @stripe_objects o ON" OF_KEY
    "    AND o.object_type = 'charge' AND o.object_id = k.charge),"
    " parents AS (SELECT account, id, id AS parent FROM k UNION SELECT account, id, object_id FROM charges"
    "  UNION SELECT account, id, object_id FROM named)"
    " SELECT a.account, a.id, a.object_type, a.object_id, a.stripe_customer_id, a.object, "
    "a.event_created, a.fetched"
    " FROM (SELECT * FROM told UNION SELECT * FROM charges"
    "  UNION SELECT k.account, k.id, " COLUMNS
    "   FROM parents k JOIN @stripe_objects o ON o.parent_id = k.parent AND o.object_type IN ('refund', "
    "'dispute')"
    "    AND" OF_KEY ") a ORDER BY a.account, a.id, a.object_type, a.object_id");
#undef OF_KEY
#undef COLUMNS

pg::Statement read_failed(
    "SELECT DISTINCT e.object_id FROM @stripe_events e WHERE e.object_id = ANY ($1)"
    " AND e.event_type = 'checkout.session.async_payment_failed'"
    " AND (e.outcome IN ('processed', 'parked') OR e.waiting_for IS NOT NULL)");

Touched with_customers(const Touched& touched, bool live) {
  Touched all = touched;
  if (touched.customers.empty()) return all;
  const pg::Rows rows = of_customers.run(pg::texts(touched.customers), live);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    // Only others tell of it: an invoice whose it is, a dispute the rest.
    if (rows.null(i, 3)) {
      all.payments.insert({rows.text(i, 0), rows.text(i, 2)});
      continue;
    }
    Event event;
    event.account = rows.text(i, 0);
    event.object_type = rows.text(i, 1);
    event.object_id = rows.text(i, 2);
    event.object = rows.document(i, 3);
    all.add(event);
  }
  // A payment that somebody was linked to by hand.
  for (const std::string& customer : touched.customers)
    if (is_guest(customer)) all.payments.insert({"", customer});
  return all;
}

}  // namespace

std::map<Id, Known> read(const Touched& touched, bool live) {
  const Touched all = with_customers(touched, live);
  std::map<Id, Known> found;
  if (all.payments.empty()) return found;
  pg::Texts account, id, charge_account, charge_payment, charge;
  for (const Id& payment : all.payments) {
    account.push_back(payment.first);
    id.push_back(payment.second);
  }
  for (const auto& [payment, charges] : all.charges) {
    for (const std::string& one : charges) {
      charge_account.push_back(payment.first);
      charge_payment.push_back(payment.second);
      charge.push_back(one);
    }
  }
  std::map<Id, std::map<std::string, credits::ChargeFacts>> charges;
  std::map<Id, std::set<std::string>> payers;
  std::map<Id, std::string> invoices;
  std::set<std::string> sessions;
  const pg::Rows rows = read_objects.run(account, id, live, charge_account, charge_payment, charge);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Id payment{rows.text(i, 0), rows.text(i, 1)};
    const std::string type = rows.text(i, 2);
    if (!rows.null(i, 4)) payers[payment].insert(rows.text(i, 4));
    if (rows.null(i, 5)) continue;
    Json object = rows.document(i, 5);
    if (payment_id_of(type, object) != payment.second && type != "refund" && type != "dispute") continue;
    // It tells of no money: of nothing else there is no payment.
    if (type == "invoice_payment") {
      invoices[payment] = fields::invoice_payment_invoice(object);
      continue;
    }
    PaymentSources& sources = found[payment].sources;
    const Seconds told = rows.maybe_seconds(i, 6).value_or(0);
    if (type == "payment_intent") {
      sources.intent = std::move(object);
      // A fetch tells nothing of when it was paid.
      sources.intent_told = rows.flag(i, 7) ? time_of(sources.intent, "created").value_or(told) : told;
    } else if (type == "charge") {
      credits::ChargeFacts& facts = charges[payment][rows.text(i, 3)];
      facts.charge = std::move(object);
      facts.charge_created = told;
    } else if (type == "checkout.session") {
      sources.checkouts.push_back({std::move(object), all.failed_checkouts.count(rows.text(i, 3)) > 0});
      sessions.insert(rows.text(i, 3));
    } else if (type == "refund") {
      credits::ChargeFacts& facts = charges[payment][fields::refund_charge(object)];
      facts.refunds.push_back(std::move(object));
      facts.refund_created.push_back(told);
    } else {
      charges[payment][fields::refund_charge(object)].disputes.push_back(std::move(object));
    }
  }
  std::set<std::string> failed;
  if (!sessions.empty()) {
    const pg::Rows told = read_failed.run(pg::texts(sessions));
    for (std::size_t i = 0; i < told.size(); ++i) failed.insert(told.text(i, 0));
  }
  for (auto& [payment, known] : found) {
    known.sources.invoice_id = invoices[payment];
    auto& told = charges[payment];
    // A refund that names no charge is of the only one there is.
    if (told.size() == 2 && told.count("") > 0) {
      auto nameless = std::move(told.extract("").mapped());
      credits::ChargeFacts& only = told.begin()->second;
      std::move(nameless.refunds.begin(), nameless.refunds.end(), std::back_inserter(only.refunds));
      only.refund_created.insert(only.refund_created.end(), nameless.refund_created.begin(),
                                 nameless.refund_created.end());
      std::move(nameless.disputes.begin(), nameless.disputes.end(), std::back_inserter(only.disputes));
    }
    for (auto& [of, facts] : told) known.sources.charges.push_back(std::move(facts));
    for (CheckoutFacts& checkout : known.sources.checkouts)
      checkout.failed = checkout.failed || failed.count(text_of(checkout.session, "id").value_or("")) > 0;
    payers[payment].insert(payment.second);
    known.payers.assign(payers[payment].begin(), payers[payment].end());
    std::stable_partition(known.payers.begin(), known.payers.end(),
                          [](const std::string& payer) { return !is_guest(payer); });
  }
  return found;
}

}  // namespace billing::payments
