// How much of what was paid went back, and how much of a grant goes with it.
#include <algorithm>
#include <map>

#include "core/credit_line.hpp"
#include "core/credit_plan.hpp"

namespace billing::credits {
namespace {

Amount amount_of(const Json& object, const char* key) {
  return std::clamp<Amount>(integer_of(object, key).value_or(0), 0, kMostGranted);
}

// What the charge brought in; nothing while it is not known.
std::optional<Amount> captured(const Json& charge) {
  if (!charge.is_object()) return std::nullopt;
  const std::string status = text_of(charge, "status").value_or("");
  const bool succeeded = status.empty() ? flag_of(charge, "paid") : status == "succeeded" || status == "paid";
  if (!succeeded) return 0;
  if (integer_of(charge, "amount_captured")) return amount_of(charge, "amount_captured");
  return at(charge, "captured") == false ? 0 : amount_of(charge, "amount");
}

struct Refund {
  const Json* object = nullptr;
  Seconds created = 0;
  // A pending refund may still fail, but then its failure is told.
  bool stands() const {
    const std::string status = text_of(*object, "status").value_or("succeeded");
    return status == "succeeded" || status == "pending" || status == "requires_action";
  }
  bool failed() const {
    const std::string status = text_of(*object, "status").value_or("");
    return status == "failed" || status == "canceled";
  }
};

std::map<std::string, Refund> refunds_of(const ChargeFacts& facts) {
  std::map<std::string, Refund> refunds;
  for (std::size_t i = 0; i < facts.refunds.size(); ++i) {
    const Seconds created = i < facts.refund_created.size() ? facts.refund_created[i] : 0;
    Refund& known = refunds[text_of(facts.refunds[i], "id").value_or("#" + std::to_string(i))];
    if (known.object == nullptr || created >= known.created) known = {&facts.refunds[i], created};
  }
  return refunds;
}

// The charge's own sum and its refunds tell the same money, and either may be all that we are sent. A refund
// that failed since is still in the charge's sum.
Amount refunded(const ChargeFacts& facts) {
  Wide by_charge = amount_of(facts.charge, "amount_refunded");
  Wide by_refunds = 0;
  for (const auto& [id, refund] : refunds_of(facts)) {
    const Amount amount = amount_of(*refund.object, "amount");
    if (refund.stands()) by_refunds += amount;
    if (refund.failed() && refund.created > facts.charge_created) by_charge -= amount;
  }
  const Amount both = to_amount(std::max(by_charge, by_refunds));
  return std::min(both, captured(facts.charge).value_or(both));
}

// What a dispute moved so far; nothing when it does not tell.
std::optional<Wide> funds_moved(const Json& dispute) {
  const Json& transactions = at(dispute, "balance_transactions");
  if (!transactions.is_array()) return std::nullopt;
  Wide moved = 0;
  for (const Json& transaction : transactions) {
    const std::optional<Amount> amount = integer_of(transaction, "amount");
    if (!amount) return std::nullopt;  // only an id
    moved += *amount;
  }
  return moved;
}

// https://docs.stripe.com/api/disputes/object#dispute_object-status
void add_dispute(const Json& dispute, Amount most, Reversal& reversal) {
  const std::string status = text_of(dispute, "status").value_or("");
  const Amount amount = std::min(amount_of(dispute, "amount"), most);
  if (status == "lost") reversal.lost += amount;
  // Inquiries (warning_*) and what was prevented or won move nothing, and a refund is told by the charge.
  const bool open = status == "needs_response" || status == "under_review";
  if (open && funds_moved(dispute).value_or(-1) < 0) reversal.disputed += amount;
}

// A credit note gives back as refunds, which the charge tells, and as customer balance or outside of Stripe,
// which only the note tells. What it took off before payment was never paid.
// https://docs.stripe.com/api/credit_notes/object
Amount credited(const Json& note, const std::vector<ChargeFacts>& charges) {
  if (text_of(note, "status") != "issued" || text_of(note, "type") == "pre_payment") return 0;
  const bool split = integer_of(note, "post_payment_amount").has_value();
  const Amount after_payment = amount_of(note, split ? "post_payment_amount" : "amount");
  Wide refunded = 0;
  const Json& refunds = list_of(note, "refunds");
  for (const Json& refund : refunds) refunded += amount_of(refund, "amount_refunded");
  const std::string id = id_of(note, "refund");
  if (refunds.empty() && !id.empty()) {
    const Json* known = at(note, "refund").is_object() ? &at(note, "refund") : nullptr;
    for (const ChargeFacts& facts : charges) {
      for (const Json& refund : facts.refunds) {
        if (text_of(refund, "id") == id) known = &refund;
      }
    }
    // How much the refund was is not said: all that the note doesn't say otherwise.
    refunded = known != nullptr ? amount_of(*known, "amount")
                                : Wide{after_payment} - amount_of(note, "out_of_band_amount");
  }
  return to_amount(after_payment - refunded);
}

Amount share(Amount amount, Wide part, Amount whole) {
  return static_cast<Amount>(Wide{amount} * std::min<Wide>(part, whole) / whole);
}

}  // namespace

Reversal read_reversal(const Json& object, const std::vector<ChargeFacts>& charges,
                       const std::vector<Json>& credit_notes) {
  Reversal reversal;
  Wide paid = 0;
  Wide back = 0;
  bool all_known = !charges.empty();
  for (const ChargeFacts& facts : charges) {
    const std::optional<Amount> amount = captured(facts.charge);
    all_known = all_known && amount.has_value();
    paid += amount.value_or(0);
    back += refunded(facts);
    for (const Json& dispute : facts.disputes) add_dispute(dispute, amount.value_or(kMostGranted), reversal);
  }
  // An invoice may have more charges than are known; a session has one, which may capture less than its
  // total.
  const bool is_session = text_of(object, "object") == "checkout.session";
  if (!is_session) paid = std::max<Wide>(paid, amount_of(object, "amount_paid"));
  if (is_session && !all_known) paid = std::max<Wide>(paid, amount_of(object, "amount_total"));
  for (const Json& note : credit_notes) back += credited(note, charges);
  reversal.paid = to_amount(paid);
  reversal.refunded = to_amount(back);
  reversal.disputed = to_amount(reversal.disputed);
  reversal.lost = to_amount(reversal.lost);
  const std::string status = text_of(object, "status").value_or("");
  reversal.void_invoice = (status == "void" || status == "uncollectible") && !flag_of(object, "paid");
  return reversal;
}

bool went_back(const Reversal& reversal) {
  return reversal.paid > 0 && Wide{reversal.refunded} + reversal.lost >= reversal.paid;
}

ReversalTarget reversal_target(const Reversal& reversal, Amount amount, DebtPolicy policy) {
  ReversalTarget result;
  if (amount <= 0) return result;
  if (reversal.paid > 0) {
    const Wide back = Wide{reversal.refunded} + reversal.disputed + reversal.lost;
    result.target = share(amount, back, reversal.paid);
  } else if (reversal.void_invoice) {
    result.target = amount;
  }
  if (policy == DebtPolicy::always) result.debt_limit = result.target;
  if (policy == DebtPolicy::dispute && reversal.paid > 0) {
    result.debt_limit = share(amount, reversal.lost, reversal.paid);
  }
  return result;
}

}  // namespace billing::credits
