#include "functions/payment_facts.hpp"

#include <optional>

#include "core/fields.hpp"
#include "pg/row_reader.hpp"
#include "pg/spi.hpp"

namespace billing {

namespace {

// The charges that paid for each subject: named by it or one of its invoice payments, naming it or its
// invoice (before basil), or made by a payment intent that it or one of its invoice payments names. With them
// their refunds and disputes; those whose charge was never told of are found through the payment intent, or
// the charge's id.
#define ID_OF(holder, member)                                                                 \
  " CASE jsonb_typeof(" holder " -> '" member "') WHEN 'string' THEN " holder " ->> '" member \
  "' ELSE " holder " -> '" member "' ->> 'id' END "
pg::Statement read_facts(
    "WITH k AS (SELECT * FROM unnest($1, $2, $3, $4, $5, $6) k(id, account, livemode, intent, charge, invoice)),"
    " owners AS (SELECT k.id, k.account, k.livemode, k.id AS owner FROM k"
    "  UNION SELECT k.id, k.account, k.livemode, k.invoice FROM k WHERE k.invoice IS NOT NULL),"
    " paying AS (SELECT w.id, w.account, w.livemode, q.object -> 'payment' AS payment FROM owners w"
    "   JOIN @stripe_objects q ON q.parent_id = w.owner AND q.object_type = 'invoice_payment'),"
    " intents AS (SELECT k.id, k.intent FROM k WHERE k.intent IS NOT NULL"
    "  UNION SELECT p.id, " ID_OF("p.payment", "payment_intent") " FROM paying p),"
    " named AS (SELECT k.id, k.account, k.livemode, k.charge FROM k WHERE k.charge IS NOT NULL"
    "  UNION SELECT p.id, p.account, p.livemode, " ID_OF("p.payment", "charge") " FROM paying p),"
    " charges AS (SELECT w.id, c.object_id, c.object, c.event_created FROM owners w JOIN @stripe_objects c"
    "   ON c.parent_id = w.owner AND c.object_type = 'charge' AND c.object IS NOT NULL"
    "  UNION SELECT i.id, c.object_id, c.object, c.event_created FROM intents i JOIN @stripe_objects c"
    "   ON c.parent_id = i.intent AND c.object_type = 'charge' AND c.object IS NOT NULL"
    "  UNION SELECT n.id, c.object_id, c.object, c.event_created FROM named n JOIN @stripe_objects c"
    "   ON c.stripe_account = n.account AND c.livemode = n.livemode AND c.object_type = 'charge'"
    "   AND c.object_id = n.charge AND c.object IS NOT NULL),"
    " parents AS (SELECT id, object_id AS parent FROM charges UNION SELECT id, intent FROM intents"
    "  UNION SELECT id, " ID_OF("object", "payment_intent") " FROM charges"
    "  UNION SELECT id, charge FROM named)"
    " SELECT c.id, 'charge', c.object_id, c.object_id, c.object, c.event_created FROM charges c"
    " UNION ALL SELECT p.id, r.object_type, r.object_id, p.parent, r.object, r.event_created FROM "
    "parents p"
    "  JOIN @stripe_objects r ON r.parent_id = p.parent AND r.object_type IN ('refund', 'dispute')"
    "   AND r.object IS NOT NULL"
    " UNION ALL SELECT w.id, 'credit_note', n.object_id, w.id, n.object, n.event_created FROM owners w"
    "  JOIN @stripe_objects n ON n.parent_id = w.owner AND n.object_type = 'credit_note' AND n.object IS NOT "
    "NULL"
    " ORDER BY 1, 2, 3");
#undef ID_OF

pg::RowReader parts_of("stripe_objects", "stripe_objects_parent_idx", "object_id");

std::optional<std::string> unless_empty(std::string text) {
  return text.empty() ? std::nullopt : std::optional(std::move(text));
}

}  // namespace

std::map<std::string, PaymentFacts> read_payment_facts(const std::vector<PaymentSubject>& subjects) {
  std::map<std::string, PaymentFacts> facts;
  pg::Texts id, account, intent, charge, invoice;
  pg::Flags livemode;
  const auto add = [&](const PaymentSubject& subject, std::optional<std::string> by_intent,
                       std::optional<std::string> by_charge, std::optional<std::string> of_invoice) {
    id.push_back(subject.id);
    account.push_back(subject.account);
    livemode.push_back(subject.livemode ? 1 : 0);
    intent.push_back(std::move(by_intent));
    charge.push_back(std::move(by_charge));
    invoice.push_back(std::move(of_invoice));
  };
  for (const PaymentSubject& subject : subjects) {
    facts[subject.id];
    // A session names its intent as an old invoice does. In payment mode it may make an invoice of what was
    // paid.
    auto by_intent = unless_empty(fields::invoice_payment_intent(*subject.object));
    auto by_charge = unless_empty(fields::invoice_charge(*subject.object));
    auto of_invoice = unless_empty(id_of(*subject.object, "invoice"));
    const Json& payments = list_of(*subject.object, "payments");
    // Nothing leads anywhere from an object that names nothing, and that nothing names.
    if (!by_intent && !by_charge && !of_invoice && payments.size() < 2 &&
        !parts_of.any({pg::parameter(subject.id)}))
      continue;
    add(subject, std::move(by_intent), std::move(by_charge), std::move(of_invoice));
    // Several payments may have paid for an invoice.
    if (payments.size() < 2) continue;
    for (const Json& payment : payments)
      add(subject, unless_empty(id_of(at(payment, "payment"), "payment_intent")),
          unless_empty(id_of(at(payment, "payment"), "charge")), std::nullopt);
  }
  if (id.empty()) return facts;
  const pg::Rows rows = read_facts.run(id, account, livemode, intent, charge, invoice);
  std::map<std::pair<std::string, std::string>, credits::ChargeFacts>
      charges;  // by subject and charge or intent
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Json object = rows.document(i, 4);
    const Seconds created = rows.maybe_seconds(i, 5).value_or(0);
    const std::string_view type = rows.view(i, 1);
    if (type == "credit_note") {
      facts[rows.text(i, 0)].credit_notes.push_back(std::move(object));
      continue;
    }
    std::string of = type == "charge" ? "" : fields::refund_charge(object);
    if (of.empty()) of = rows.text(i, 3);
    credits::ChargeFacts& one = charges[{rows.text(i, 0), of}];
    if (type == "charge") {
      one.charge = std::move(object);
      one.charge_created = created;
    } else if (type == "refund") {
      one.refunds.push_back(std::move(object));
      one.refund_created.push_back(created);
    } else {
      one.disputes.push_back(std::move(object));
    }
  }
  for (auto& [key, one] : charges) facts[key.first].charges.push_back(std::move(one));
  return facts;
}

}  // namespace billing
