#include "core/payment.hpp"

#include <algorithm>
#include <tuple>

#include "core/event.hpp"
#include "core/fields.hpp"

namespace billing {
namespace {

using credits::Amount;
using credits::ChargeFacts;

constexpr std::size_t kMaxItems = 100;

std::string status_of(const Json& object) { return text_of(object, "status").value_or(""); }

bool succeeded(const Json& charge) {
  const std::string status = status_of(charge);
  return status == "succeeded" || status == "paid" || (status.empty() && flag_of(charge, "paid"));
}

bool is_captured(const Json& charge) { return succeeded(charge) && at(charge, "captured") != false; }

Amount amount_in(const Json& object, const char* key) {
  return std::max<Amount>(integer_of(object, key).value_or(0), 0);
}

// In an order of their own, whatever order they were read in.
std::vector<const ChargeFacts*> by_time(const std::vector<ChargeFacts>& charges) {
  std::vector<const ChargeFacts*> sorted;
  for (const ChargeFacts& facts : charges) sorted.push_back(&facts);
  const auto key = [](const ChargeFacts* facts) {
    return std::tuple(time_of(facts->charge, "created").value_or(0),
                      text_of(facts->charge, "id").value_or(""));
  };
  std::sort(sorted.begin(), sorted.end(), [&](const auto* a, const auto* b) { return key(a) < key(b); });
  return sorted;
}

std::vector<const CheckoutFacts*> by_time(const std::vector<CheckoutFacts>& checkouts) {
  std::vector<const CheckoutFacts*> sorted;
  for (const CheckoutFacts& facts : checkouts) sorted.push_back(&facts);
  const auto key = [](const CheckoutFacts* facts) {
    return std::tuple(time_of(facts->session, "created").value_or(0),
                      text_of(facts->session, "id").value_or(""));
  };
  std::sort(sorted.begin(), sorted.end(), [&](const auto* a, const auto* b) { return key(a) < key(b); });
  return sorted;
}

class Reader {
 public:
  explicit Reader(const PaymentSources& sources)
      : sources_(sources),
        intent_(sources.intent),
        charges_(by_time(sources.charges)),
        checkouts_(by_time(sources.checkouts)) {}

  Payment read() {
    choose_charge();
    name();
    measure();
    find_refund_time();
    find_dispute();
    payment_.status = judge();
    describe();
    return std::move(payment_);
  }

 private:
  // The one that paid, else the last attempt.
  void choose_charge() {
    for (const ChargeFacts* facts : charges_) {
      if (!facts->charge.is_object()) continue;
      if (charge_ == nullptr || !is_captured(*charge_)) charge_ = &facts->charge;
    }
  }

  const Json& charge() const { return charge_ == nullptr ? at(nullptr, "") : *charge_; }
  const Json& session() const { return checkouts_.empty() ? at(nullptr, "") : checkouts_.back()->session; }

  void name() {
    payment_.charge_id = text_of(charge(), "id").value_or(id_of(intent_, "latest_charge"));
    // Before 2022-11-15 an intent has them inside.
    for (const Json& attempt : list_of(intent_, "charges"))
      if (payment_.charge_id.empty()) payment_.charge_id = text_of(attempt, "id").value_or("");
    for (const ChargeFacts* facts : charges_) {
      for (const std::vector<Json>* told : {&facts->refunds, &facts->disputes})
        for (const Json& one : *told)
          if (payment_.charge_id.empty()) payment_.charge_id = fields::refund_charge(one);
    }
    payment_.session_id = text_of(session(), "id").value_or("");
    for (std::string id : {fields::payment_invoice(intent_), fields::payment_invoice(charge()),
                           id_of(session(), "invoice"), sources_.invoice_id})
      if (payment_.invoice_id.empty()) payment_.invoice_id = std::move(id);
  }

  bool is_paid() const {
    if (status_of(intent_) == "succeeded" || (charge_ != nullptr && is_captured(*charge_))) return true;
    return std::any_of(checkouts_.begin(), checkouts_.end(), [](const CheckoutFacts* facts) {
      const std::string paid = text_of(facts->session, "payment_status").value_or("");
      return paid == "paid" || (paid == "no_payment_required" && status_of(facts->session) == "complete");
    });
  }

  void measure() {
    paid_ = is_paid();
    const bool captured = charge_ != nullptr && is_captured(*charge_);
    // What was told by the one that counts the money, and only then what was asked for.
    if (captured)
      payment_.amount =
          amount_in(charge(), integer_of(charge(), "amount_captured") ? "amount_captured" : "amount");
    else if (paid_ && amount_in(intent_, "amount_received") > 0)
      payment_.amount = amount_in(intent_, "amount_received");
    else if (intent_.is_object())
      payment_.amount = amount_in(intent_, "amount");
    else if (integer_of(session(), "amount_total"))
      payment_.amount = amount_in(session(), "amount_total");
    else
      payment_.amount = amount_in(charge(), "amount");
    const Json as_session = {{"object", "checkout.session"}, {"amount_total", payment_.amount}};
    reversal_ = credits::read_reversal(as_session, sources_.charges, {});
    payment_.amount_refunded = reversal_.refunded;
    // Only what was paid can go back, where nothing but that is told.
    const Amount back = std::max({reversal_.refunded, reversal_.disputed, reversal_.lost});
    if (!intent_.is_object() && charge_ == nullptr && checkouts_.empty() && back > 0) {
      paid_ = true;
      payment_.amount = back;
    }
    for (const Json* object : {&charge(), &intent_, &session()})
      if (payment_.currency.empty()) payment_.currency = text_of(*object, "currency").value_or("");
    // Only refunds or disputes may have been told of.
    for (const ChargeFacts* facts : charges_) {
      for (const std::vector<Json>* told : {&facts->refunds, &facts->disputes})
        for (const Json& one : *told)
          if (payment_.currency.empty()) payment_.currency = text_of(one, "currency").value_or("");
    }
    payment_.created = time_of(intent_, "created");
    if (!payment_.created && !checkouts_.empty())
      payment_.created = time_of(checkouts_.front()->session, "created");
    if (!payment_.created && !charges_.empty())
      payment_.created = time_of(charges_.front()->charge, "created");
    if (!paid_) return;
    if (captured) payment_.paid_at = time_of(charge(), "created");
    if (!payment_.paid_at && status_of(intent_) == "succeeded") payment_.paid_at = sources_.intent_told;
    if (!payment_.paid_at) payment_.paid_at = time_of(session(), "created");
  }

  // The last refund that stands; where only the charge tells of it, when it last did.
  void find_refund_time() {
    if (payment_.amount_refunded == 0) return;
    for (const ChargeFacts* facts : charges_) {
      for (const Json& refund : facts->refunds) add_refund_time(refund);
      for (const Json& refund : list_of(facts->charge, "refunds")) add_refund_time(refund);
    }
    if (payment_.refunded_at) return;
    for (const ChargeFacts* facts : charges_)
      if (amount_in(facts->charge, "amount_refunded") > 0)
        payment_.refunded_at = std::max(payment_.refunded_at, std::optional(facts->charge_created));
  }

  void add_refund_time(const Json& refund) {
    const std::string status = text_of(refund, "status").value_or("succeeded");
    if (status != "failed" && status != "canceled")
      payment_.refunded_at = std::max(payment_.refunded_at, time_of(refund, "created"));
  }

  void find_dispute() {
    std::tuple<Seconds, std::string> latest{-1, ""};
    for (const ChargeFacts* facts : charges_)
      for (const Json& dispute : facts->disputes) {
        const std::optional<Seconds> created = time_of(dispute, "created");
        const std::tuple<Seconds, std::string> key{created.value_or(0), text_of(dispute, "id").value_or("")};
        if (key < latest) continue;
        latest = key;
        payment_.dispute_status = status_of(dispute);
        payment_.disputed_at = created;
      }
  }

  std::string judge() const {
    if (paid_) {
      if (reversal_.lost > 0) return "charged_back";
      if (payment_.amount_refunded > 0 && payment_.amount_refunded >= payment_.amount) return "refunded";
      if (reversal_.disputed > 0) return "disputed";
      return payment_.amount_refunded > 0 ? "partially_refunded" : "completed";
    }
    const std::string intent = status_of(intent_);
    if (intent == "canceled") return "canceled";
    const bool checkout_failed = std::any_of(checkouts_.begin(), checkouts_.end(),
                                             [](const CheckoutFacts* facts) { return facts->failed; });
    if (checkout_failed) return "failed";
    if (intent == "requires_capture") return "authorized";
    if (intent == "processing") return "processing";
    if (intent == "requires_payment_method" && at(intent_, "last_payment_error").is_object()) return "failed";
    if (charge_ != nullptr && (intent.empty() || intent.starts_with("requires_"))) {
      if (succeeded(*charge_)) return flag_of(*charge_, "refunded") ? "canceled" : "authorized";
      if (status_of(*charge_) == "pending") return "processing";
      if (status_of(*charge_) == "failed") return "failed";
    }
    const std::string checkout = status_of(session());
    if (checkout == "complete") return "processing";
    return checkout == "expired" ? "canceled" : "pending";
  }

  void describe() {
    const Json& details = at(session(), "customer_details");
    for (auto email : {text_of(details, "email"), text_of(session(), "customer_email"),
                       text_of(at(charge(), "billing_details"), "email"), text_of(charge(), "receipt_email"),
                       text_of(intent_, "receipt_email")})
      if (payment_.customer_email.empty()) payment_.customer_email = email.value_or("");
    for (const Json* object : {&intent_, &charge()})
      if (payment_.description.empty()) payment_.description = text_of(*object, "description").value_or("");
    // What the checkout says counts before the intent's, and that before the charge's copy of it.
    for (const Json* object : {&charge(), &intent_, &session()}) {
      const Json& metadata = at(*object, "metadata");
      if (metadata.is_object())
        for (const auto& [key, value] : metadata.items()) payment_.metadata[key] = value;
    }
    payment_.seller_id = text_of(payment_.metadata, "seller_id").value_or("");
    add_item(text_of(payment_.metadata, "item_id").value_or(""));
    const std::string items = text_of(payment_.metadata, "item_ids").value_or("");
    for (std::size_t from = 0; from <= items.size();) {
      const std::size_t to = std::min(items.find(',', from), items.size());
      add_item(items.substr(from, to - from));
      from = to + 1;
    }
  }

  void add_item(std::string id) {
    const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
    while (!id.empty() && blank(id.back())) id.pop_back();
    id.erase(id.begin(), std::find_if_not(id.begin(), id.end(), blank));
    std::vector<std::string>& items = payment_.items;
    if (id.empty() || id.size() > kMaxIdBytes || items.size() >= kMaxItems) return;
    if (std::find(items.begin(), items.end(), id) == items.end()) items.push_back(std::move(id));
  }

  const PaymentSources& sources_;
  const Json& intent_;
  std::vector<const ChargeFacts*> charges_;
  std::vector<const CheckoutFacts*> checkouts_;
  const Json* charge_ = nullptr;
  bool paid_ = false;
  credits::Reversal reversal_;
  Payment payment_;
};

}  // namespace

Payment read_payment(const PaymentSources& sources) { return Reader(sources).read(); }

bool stands_alone(const Payment& payment, const PaymentSources& sources) {
  if (!payment.invoice_id.empty()) return false;
  if (!sources.checkouts.empty())
    return std::none_of(sources.checkouts.begin(), sources.checkouts.end(),
                        [](const CheckoutFacts& checkout) {
                          return flag_of(at(checkout.session, "invoice_creation"), "enabled");
                        });
  if (sources.intent.is_object() && sources.intent.contains("invoice")) return true;
  const bool old = std::any_of(sources.charges.begin(), sources.charges.end(), [](const auto& facts) {
    return facts.charge.is_object() && facts.charge.contains("invoice");
  });
  return old || !payment.metadata.empty();
}

std::string enrollment_status(const Payment& payment) {
  const std::string& status = payment.status;
  if (status == "completed" || status == "partially_refunded") return "active";
  if (status == "disputed") return "suspended";
  if (status == "charged_back") return "revoked";
  if (status == "refunded" || status == "failed" || status == "canceled") return status;
  return "pending";
}

std::optional<Seconds> enrollment_ended_at(const Payment& payment) {
  if (payment.status == "refunded") return payment.refunded_at;
  if (payment.status == "disputed" || payment.status == "charged_back") return payment.disputed_at;
  return std::nullopt;
}

std::string payment_id_of(const std::string& object_type, const Json& object) {
  if (object_type == "payment_intent") return text_of(object, "id").value_or("");
  if (object_type == "invoice_payment") return id_of(at(object, "payment"), "payment_intent");
  if (object_type == "charge" || object_type == "refund" || object_type == "dispute") {
    std::string intent = id_of(object, "payment_intent");
    if (!intent.empty()) return intent;
    return object_type == "charge" ? text_of(object, "id").value_or("") : fields::refund_charge(object);
  }
  if (object_type != "checkout.session" || text_of(object, "mode") != "payment") return "";
  std::string intent = id_of(object, "payment_intent");
  const bool is_free =
      text_of(object, "payment_status") == "no_payment_required" && status_of(object) == "complete";
  return intent.empty() && is_free ? text_of(object, "id").value_or("") : intent;
}

}  // namespace billing
