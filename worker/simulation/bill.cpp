// Invoices: what they bill, and what becomes of them apart from payment.
#include "worker/simulation/account.hpp"

namespace billing::simulation {

std::vector<Line> Account::period_lines(const Subscription& s, Period period) {
  std::vector<Line> lines;
  for (const Item& item : s.items) {
    Line line;
    line.id = random_.id("il_");
    line.item = item.id;
    line.description = std::to_string(item.quantity) + " \u00d7 " + item.price->nickname;
    line.price = item.price;
    line.quantity = item.quantity;
    line.amount = s.status == "trialing" ? 0 : item.price->unit_amount * item.quantity;
    line.period = period;
    lines.push_back(std::move(line));
  }
  return lines;
}

// For the current period, or for what has changed within it, and for what was left to be billed.
BillPtr Account::make_bill(Subscription& s, const char* reason) {
  BillPtr bill = std::make_shared<Bill>();
  bill->subscription = &s;
  bill->customer = s.owner;
  Invoice& invoice = bill->invoice;
  invoice.id = random_.id("in_");
  invoice.customer = s.customer;
  invoice.subscription = s.id;
  invoice.reason = reason;
  invoice.created = now_;
  invoice.period = {s.period.start, s.period.start};
  invoice.by_invoice = s.by_invoice;
  invoice.subscription_metadata = s.metadata;
  // As when the subscription's own metadata were cleared before this endpoint existed.
  if (s.owner->evidence == Evidence::invoice) invoice.subscription_metadata["user_id"] = user_id_;
  if (invoice.reason != "subscription_update") invoice.lines = period_lines(s, s.period);
  for (Line& line : s.pending) invoice.lines.push_back(std::move(line));
  s.pending.clear();
  return bill;
}

void Account::finalize(const BillPtr& bill) {
  Invoice& invoice = bill->invoice;
  if (invoice.status != "draft") return;
  tick();
  if (invoice.amount_due() > 0) {
    PaymentIntent& intent = bill->intent;
    intent.id = random_.id("pi_");
    intent.customer = invoice.customer;
    intent.invoice = invoice.id;
    intent.amount = invoice.amount_due();
    intent.created = now_;
    intent.method = bill->customer->payment_method;
    tell("payment_intent.created", intent);
  }
  const std::string payment = random_.id("inpay_");
  const std::string number = random_.id("").substr(0, 8) + "-0001";
  update("invoice.updated", invoice, [&] {
    invoice.status = "open";
    invoice.finalized = now_;
    invoice.number = number;
    if (invoice.by_invoice) invoice.due = now_ + 14 * kDay;
    invoice.payment_intent = bill->intent.id;
    if (!bill->intent.id.empty()) invoice.payment = payment;
  });
  tell("invoice.finalized", invoice);
  if (invoice.by_invoice) tell("invoice.sent", invoice);
}

// An hour after a period has begun.
void Account::settle_cycle(const BillPtr& bill) {
  const Subscription& s = *bill->subscription;
  if (!s.live()) {
    note("draft_deleted");
    return tell("invoice.deleted", bill->invoice);
  }
  if (s.status == "unpaid" || s.pause_behavior == "keep_as_draft") return;
  finalize(bill);
  if (s.pause_behavior == "void") return void_bill(bill);
  if (s.pause_behavior == "mark_uncollectible") return write_off(bill);
  collect(bill);
}

void Account::void_bill(const BillPtr& bill) {
  Invoice& invoice = bill->invoice;
  if (invoice.status != "open" && invoice.status != "uncollectible") return;
  note("invoice_voided");
  PaymentIntent& intent = bill->intent;
  update("invoice.updated", invoice, [&] {
    invoice.status = "void";
    invoice.voided = now_;
    invoice.next_attempt.reset();
  });
  tell("invoice.voided", invoice);
  if (intent.id.empty()) return;
  intent.status = "canceled";
  intent.canceled = now_;
  tell("payment_intent.canceled", intent);
}

void Account::write_off(const BillPtr& bill) {
  Invoice& invoice = bill->invoice;
  if (invoice.status != "open") return;
  note("invoice_uncollectible");
  update("invoice.updated", invoice, [&] {
    invoice.status = "uncollectible";
    invoice.uncollectible = now_;
    invoice.next_attempt.reset();
  });
  tell("invoice.marked_uncollectible", invoice);
  const auto fate = random_.weighted({70, 20, 10});
  if (fate == 1) later(kDay, 30 * kDay, [this, bill] { pay(bill); });
  if (fate == 2) later(kDay, 30 * kDay, [this, bill] { void_bill(bill); });
}

}  // namespace billing::simulation
