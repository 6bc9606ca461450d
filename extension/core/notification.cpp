#include "core/notification.hpp"

#include <algorithm>

#include "core/fields.hpp"

namespace billing {
namespace {

void add_text(Json& payload, const char* name, const std::string& value) {
  payload[name] = value.empty() ? Json(nullptr) : Json(value);
}

void add_time(Json& payload, const char* name, const std::optional<Seconds>& time) {
  payload[name] = time ? Json(iso_time(*time)) : Json(nullptr);
}

std::int64_t amount_in(const Json& object, const char* key) {
  return std::max<std::int64_t>(integer_of(object, key).value_or(0), 0);
}

Notice invoice_notice(const Event& event, const char* kind, std::string key, std::int64_t amount) {
  const Json& invoice = event.object;
  Notice notice{kind, std::move(key), Json::object(), event.created, event.object_id};
  add_text(notice.payload, "invoice_id", event.object_id);
  add_text(notice.payload, "invoice_number", text_of(invoice, "number").value_or(""));
  add_text(notice.payload, "subscription_id", fields::invoice_subscription(invoice));
  add_text(notice.payload, "billing_reason", text_of(invoice, "billing_reason").value_or(""));
  notice.payload["payment_id"] = nullptr;
  notice.payload["amount"] = amount;
  add_text(notice.payload, "currency", text_of(invoice, "currency").value_or(""));
  return notice;
}

class PaymentTeller {
 public:
  PaymentTeller(const std::string& payment_id, const Payment& payment, const PaymentSources& sources,
                const Brought& brought)
      : payment_id_(payment_id), payment_(payment), sources_(sources), brought_(brought) {}

  std::vector<Notice> run() {
    if (stands_alone(payment_, sources_)) tell_payment();
    for (const credits::ChargeFacts& facts : sources_.charges) {
      for (const Json& refund : facts.refunds) tell_refund(refund, id(refund));
      for (const Json& refund : list_of(facts.charge, "refunds")) tell_refund(refund, id(facts.charge));
      for (const Json& dispute : facts.disputes) tell_dispute(dispute);
    }
    return std::move(notices_);
  }

 private:
  // Whichever of the objects that tell of the payment came last.
  std::string bringer() const {
    std::vector<std::string> ids = {payment_id_};
    for (const credits::ChargeFacts& facts : sources_.charges) ids.push_back(id(facts.charge));
    for (const CheckoutFacts& checkout : sources_.checkouts) ids.push_back(id(checkout.session));
    const auto when = [&](const std::string& one) -> std::optional<Seconds> {
      const std::optional<Bringer> found = one.empty() ? std::nullopt : brought_(one);
      return found ? std::optional(found->created) : std::nullopt;
    };
    return *std::max_element(ids.begin(), ids.end(),
                             [&](const auto& a, const auto& b) { return when(a) < when(b); });
  }

  // What happened long before the event that brings it was told of in its time.
  bool is_news(const std::string& bringer, Seconds at) const {
    const std::optional<Bringer> found = bringer.empty() ? std::nullopt : brought_(bringer);
    return found && found->created - at <= kNews;
  }

  static std::string id(const Json& object) { return text_of(object, "id").value_or(""); }

  Notice notice(const char* kind, std::string key, const Json& about, Seconds at,
                const std::string& bringer) const {
    Notice made{kind, std::move(key), Json::object(), at, bringer};
    add_text(made.payload, "payment_id", payment_id_);
    add_text(made.payload, "charge_id", about.is_null() ? payment_.charge_id : fields::refund_charge(about));
    add_text(made.payload, "invoice_id", payment_.invoice_id);
    return made;
  }

  void tell_payment() {
    const bool paid = payment_.paid_at && payment_.amount > 0;
    if (!paid && payment_.status != "failed") return;
    Seconds at = payment_.paid_at.value_or(sources_.intent_told);
    for (const credits::ChargeFacts& facts : sources_.charges)
      if (!paid) at = std::max(at, facts.charge_created);
    for (const CheckoutFacts& checkout : sources_.checkouts)
      if (!paid && at == 0) at = time_of(checkout.session, "created").value_or(0);
    const std::string by = bringer();
    if (!is_news(by, at)) return;
    const char* kind = paid ? "payment_confirmed" : "payment_failed";
    Notice made = notice(kind, std::string(kind) + ":" + payment_id_, nullptr, at, by);
    made.payload["amount"] = payment_.amount;
    add_text(made.payload, "currency", payment_.currency);
    add_text(made.payload, "description", payment_.description);
    made.payload["items"] = payment_.items;
    if (paid) add_time(made.payload, "paid_at", payment_.paid_at);
    notices_.push_back(std::move(made));
  }

  // A refund that is still on its way is not told of: it may fail.
  void tell_refund(const Json& refund, const std::string& by) {
    if (id(refund).empty() || text_of(refund, "status").value_or("succeeded") != "succeeded") return;
    const Seconds at = time_of(refund, "created").value_or(0);
    if (!is_news(by, at)) return;
    Notice made = notice("refund_issued", "refund_issued:" + id(refund), refund, at, by);
    made.payload["refund_id"] = id(refund);
    made.payload["amount"] = amount_in(refund, "amount");
    add_text(made.payload, "currency", text_of(refund, "currency").value_or(payment_.currency));
    add_text(made.payload, "reason", text_of(refund, "reason").value_or(""));
    notices_.push_back(std::move(made));
  }

  // Whichever event comes first: one that is over was opened before.
  void tell_dispute(const Json& dispute) {
    if (id(dispute).empty()) return;
    const std::optional<Bringer> found = brought_(id(dispute));
    if (!found) return;
    const Bringer brought = *found;
    const std::string status = text_of(dispute, "status").value_or("");
    const Seconds opened_at = time_of(dispute, "created").value_or(0);
    const auto made = [&](const char* kind, Seconds at) {
      Notice one = notice(kind, std::string(kind) + ":" + id(dispute), dispute, at, id(dispute));
      one.payload["dispute_id"] = id(dispute);
      one.payload["amount"] = amount_in(dispute, "amount");
      add_text(one.payload, "currency", text_of(dispute, "currency").value_or(payment_.currency));
      add_text(one.payload, "reason", text_of(dispute, "reason").value_or(""));
      one.payload["inquiry"] = status.starts_with("warning_");
      return one;
    };
    if (is_news(id(dispute), opened_at)) {
      notices_.push_back(made("dispute_opened", opened_at));
      add_time(notices_.back().payload, "evidence_due_by",
               time_of(at(dispute, "evidence_details"), "due_by"));
    }
    if (status != "won" && status != "lost" && status != "warning_closed" && status != "prevented") return;
    // Nothing but its own event says when it was closed.
    if (!brought.tells_itself && !is_news(id(dispute), opened_at)) return;
    notices_.push_back(made("dispute_closed", brought.tells_itself ? brought.created : opened_at));
    notices_.back().payload["status"] = status;
  }

  const std::string& payment_id_;
  const Payment& payment_;
  const PaymentSources& sources_;
  const Brought& brought_;
  std::vector<Notice> notices_;
};

}  // namespace

std::vector<Notice> invoice_notices(const Event& event) {
  if (event.object_type != "invoice" || event.object_id.empty()) return {};
  const Json& invoice = event.object;
  if (event.type == "invoice.paid" || event.type == "invoice.payment_succeeded") {
    const bool elsewhere = flag_of(invoice, "paid_out_of_band");
    const std::int64_t amount = std::max(amount_in(invoice, "amount_paid"),
                                         elsewhere ? amount_in(invoice, "total") : std::int64_t{0});
    if (!fields::invoice_is_paid(invoice) || amount == 0) return {};
    Notice paid = invoice_notice(event, "payment_confirmed", "payment_confirmed:" + event.object_id, amount);
    const std::optional<Seconds> paid_at = time_of(at(invoice, "status_transitions"), "paid_at");
    paid.at = paid_at.value_or(event.created);
    add_time(paid.payload, "paid_at", paid.at);
    return {std::move(paid)};
  }
  if (event.type != "invoice.payment_failed") return {};
  const std::int64_t attempt = integer_of(invoice, "attempt_count").value_or(1);
  Notice failed = invoice_notice(event, "payment_failed",
                                 "payment_failed:" + event.object_id + ":" + std::to_string(attempt),
                                 amount_in(invoice, "amount_due"));
  failed.payload["attempt"] = attempt;
  add_time(failed.payload, "next_attempt_at", time_of(invoice, "next_payment_attempt"));
  return {std::move(failed)};
}

std::vector<Notice> payment_notices(const std::string& payment_id, const Payment& payment,
                                    const PaymentSources& sources, const Brought& brought) {
  return PaymentTeller(payment_id, payment, sources, brought).run();
}

}  // namespace billing
