#include "functions/payment_facts.hpp"

#include <set>
#include <utility>

#include "core/fields.hpp"
#include "pg/row_reader.hpp"

namespace billing {

namespace {

pg::RowReader parts_of("stripe_objects", "stripe_objects_parent_idx",
                       "object_type object_id object event_created");
pg::RowReader rows_of("stripe_objects", "stripe_objects_pkey", "object event_created");

// What the mirror knows of one subject: the charges that paid for it are named by it or one of its invoice
// payments, name it or its invoice (before basil), or were made by a payment intent that it or one of its
// invoice payments names. With them their refunds and disputes; those whose charge was never told of are
// found through the payment intent, or the charge's id.
class Search {
 public:
  explicit Search(const PaymentSubject& subject) : subject_(subject) {
    const Json& object = *subject.object;
    // A session names its intent as an old invoice does. In payment mode it may make an invoice of what was
    // paid.
    want(fields::invoice_payment_intent(object), fields::invoice_charge(object));
    // Several payments may have paid for an invoice.
    if (const Json& payments = list_of(object, "payments"); payments.size() > 1)
      for (const Json& payment : payments)
        want(id_of(at(payment, "payment"), "payment_intent"), id_of(at(payment, "payment"), "charge"));
  }

  PaymentFacts run() {
    look_at_owner(subject_.id);
    look_at_owner(id_of(*subject_.object, "invoice"));
    for (const std::string& intent : intents_) look_at_parts(intent, {"charge", "refund", "dispute"});
    for (const std::string& id : named_) look_at_charge(id);
    std::set<std::string> parents = named_;
    for (const auto& [key, charge] : found_) {
      if (key.first != "charge") continue;
      parents.insert(key.second);
      parents.insert(id_of(charge.object, "payment_intent"));
    }
    for (const std::string& parent : parents)
      if (intents_.count(parent) == 0) look_at_parts(parent, {"refund", "dispute"});
    return facts();
  }

 private:
  struct Found {
    std::string parent;
    Json object;
    Seconds created = 0;
  };

  void want(std::string intent, std::string charge) {
    if (!intent.empty()) intents_.insert(std::move(intent));
    if (!charge.empty()) named_.insert(std::move(charge));
  }

  void look_at_owner(const std::string& owner) {
    look_at_parts(owner, {"invoice_payment", "charge", "credit_note"});
  }

  void look_at_parts(const std::string& parent, const std::set<std::string_view>& types) {
    if (parent.empty()) return;
    const pg::Rows rows = parts_of.find({pg::parameter(parent)});
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (rows.null(i, 2) || types.count(rows.view(i, 0)) == 0) continue;
      Json object = rows.document(i, 2);
      if (rows.view(i, 0) == "invoice_payment")
        want(id_of(at(object, "payment"), "payment_intent"), id_of(at(object, "payment"), "charge"));
      else
        found_[{rows.text(i, 0), rows.text(i, 1)}] = {parent, std::move(object),
                                                      rows.maybe_seconds(i, 3).value_or(0)};
    }
  }

  void look_at_charge(const std::string& id) {
    const pg::Rows rows = rows_of.find({pg::parameter(subject_.account), pg::parameter(subject_.livemode),
                                        pg::parameter("charge"), pg::parameter(id)});
    if (!rows.empty() && !rows.null(0, 0))
      found_[{"charge", id}] = {id, rows.document(0, 0), rows.maybe_seconds(0, 1).value_or(0)};
  }

  PaymentFacts facts() {
    PaymentFacts facts;
    std::map<std::string, credits::ChargeFacts> charges;  // by charge or intent
    for (auto& [key, one] : found_) {
      const auto& [type, id] = key;
      if (type == "credit_note") {
        facts.credit_notes.push_back(std::move(one.object));
      } else if (type == "charge") {
        credits::ChargeFacts& charge = charges[id];
        charge.charge = std::move(one.object);
        charge.charge_created = one.created;
      } else {
        const std::string named = fields::refund_charge(one.object);
        credits::ChargeFacts& charge = charges[named.empty() ? one.parent : named];
        if (type == "refund") charge.refund_created.push_back(one.created);
        (type == "refund" ? charge.refunds : charge.disputes).push_back(std::move(one.object));
      }
    }
    for (auto& [id, charge] : charges) facts.charges.push_back(std::move(charge));
    return facts;
  }

  const PaymentSubject& subject_;
  std::set<std::string> intents_;
  std::set<std::string> named_;                                 // charges
  std::map<std::pair<std::string, std::string>, Found> found_;  // by type and id
};

}  // namespace

std::map<std::string, PaymentFacts> read_payment_facts(const std::vector<PaymentSubject>& subjects) {
  std::map<std::string, PaymentFacts> facts;
  for (const PaymentSubject& subject : subjects) facts[subject.id] = Search(subject).run();
  return facts;
}

}  // namespace billing
