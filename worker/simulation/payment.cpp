// The payment of invoices: attempts, declines, dunning.
#include <array>

#include "worker/simulation/account.hpp"

namespace billing::simulation {

void Account::collect(const BillPtr& bill) {
  Invoice& invoice = bill->invoice;
  if (invoice.amount_due() == 0) return pay(bill);
  if (invoice.by_invoice) {
    note("invoice_sent");
    if (random_.chance(0.8)) return later(kDay, 13 * kDay, [this, bill] { pay(bill); });
    return at(*invoice.due + kHour, [this, bill] {
      if (bill->invoice.status != "open" || !bill->subscription->live()) return;
      tell("invoice.overdue", bill->invoice);
      mark_overdue(*bill);
      later(kDay, 20 * kDay, [this, bill] { retry(bill); });
    });
  }
  switch (random_.weighted({82, 12, 6})) {
    case 0:
      return pay(bill);
    case 1:
      return decline(bill);
    default:
      ask_for_action(bill);
      mark_overdue(*bill);
      later(kHour, 3 * kDay, [this, bill] { retry(bill); });
  }
}

void Account::pay(const BillPtr& bill) {
  Invoice& invoice = bill->invoice;
  if (invoice.status != "open" && invoice.status != "uncollectible") return;
  if (invoice.amount_due() > 0) {
    tick();
    PaymentIntent& intent = bill->intent;
    Charge charge;
    charge.id = random_.id("ch_");
    charge.customer = invoice.customer;
    charge.invoice = invoice.id;
    charge.payment_intent = intent.id;
    charge.method = intent.method = bill->customer->payment_method;
    charge.amount = invoice.amount_due();
    charge.created = now_;
    bill->charge = charge;
    tell("charge.succeeded", charge);
    intent.status = "succeeded";
    intent.charge = charge.id;
    intent.error.clear();
    tell("payment_intent.succeeded", intent);
  }
  update("invoice.updated", invoice, [&] {
    invoice.status = "paid";
    invoice.paid = now_;
    invoice.amount_paid = invoice.amount_due();
    invoice.next_attempt.reset();
    invoice.charge = bill->charge.id;
    if (invoice.amount_paid > 0) ++invoice.attempts;
  });
  tell("invoice.paid", invoice);
  tell("invoice.payment_succeeded", invoice);
  if (shape_.version.basil && !invoice.payment.empty()) tell("invoice_payment.paid", InvoicePayment{invoice});
  if (bill->subscription != nullptr) {
    note_paid(*bill);
    mark_settled(*bill);
  }
  maybe_return(bill);
}

void Account::note_paid(Bill& bill) {
  for (const Line& line : bill.invoice.lines) {
    if (line.proration) continue;
    if (!bill.paid) bill.subscription->paid.push_back(bill.paid = std::make_shared<Paid>());
    Paid& paid = *bill.paid;
    paid.invoice = bill.invoice.id;
    paid.created = bill.invoice.created;
    paid.until = line.period.end;
    paid.partly_covered = bill.invoice.reason == "subscription_update" && !bill.ends_trial;
    // A trial costs nothing, and its lines bring nothing.
    const std::int64_t credits = line.amount > 0 ? line.price->credits * line.quantity : 0;
    paid.credits += credits * line.price->months;
    paid.by_interval = paid.by_interval || (credits > 0 && line.price->months > 1);
  }
}

// One attempt that the bank declines.
void Account::fail(Bill& bill) {
  constexpr std::array kCodes = {"card_declined", "expired_card", "processing_error"};
  tick();
  Charge charge;
  charge.id = random_.id("ch_");
  charge.customer = bill.invoice.customer;
  charge.invoice = bill.invoice.id;
  charge.payment_intent = bill.intent.id;
  charge.method = bill.customer->payment_method;
  charge.amount = bill.invoice.amount_due();
  charge.status = "failed";
  charge.failure = random_.pick(kCodes);
  charge.created = now_;
  tell("charge.failed", charge);
  bill.intent.status = "requires_payment_method";
  bill.intent.charge = charge.id;
  bill.intent.error = charge.failure;
  tell("payment_intent.payment_failed", bill.intent);
}

void Account::decline(const BillPtr& bill) {
  note("payment_declined");
  Invoice& invoice = bill->invoice;
  fail(*bill);
  update("invoice.updated", invoice, [&] {
    ++invoice.attempts;
    invoice.next_attempt = now_ + (1 + 2 * invoice.attempts) * kDay;
  });
  tell("invoice.payment_failed", invoice);
  mark_overdue(*bill);
  at(*invoice.next_attempt, [this, bill] { retry(bill); });
}

void Account::ask_for_action(const BillPtr& bill) {
  note("action_required");
  tick();
  bill->intent.status = "requires_action";
  tell("payment_intent.requires_action", bill->intent);
  update("invoice.updated", bill->invoice, [&] { ++bill->invoice.attempts; });
  tell("invoice.payment_action_required", bill->invoice);
}

void Account::retry(const BillPtr& bill) {
  if (bill->invoice.status != "open" || !bill->subscription->live()) return;
  if (random_.chance(0.5))
    pay(bill);
  else if (bill->invoice.attempts < 4 && !bill->invoice.by_invoice)
    decline(bill);
  else
    exhaust(bill);
}

// Nothing more will be tried.
void Account::exhaust(const BillPtr& bill) {
  Subscription& s = *bill->subscription;
  Invoice& invoice = bill->invoice;
  fail(*bill);
  update("invoice.updated", invoice, [&] {
    ++invoice.attempts;
    invoice.next_attempt.reset();
  });
  tell("invoice.payment_failed", invoice);
  switch (random_.weighted({40, 40, 20})) {
    case 0:
      end(s, "payment_failed");
      if (random_.chance(0.5)) void_bill(bill);
      break;
    case 1:
      if (s.status == "past_due") change(s, [&] { s.status = "unpaid"; });
      later(3 * kDay, 40 * kDay, [this, &s, bill] {
        if (s.status != "unpaid") return;
        if (random_.chance(0.6))
          pay(bill);
        else
          end(s, "payment_failed");
      });
      break;
    default:
      write_off(bill);
  }
}

void Account::mark_overdue(const Bill& bill) {
  Subscription& s = *bill.subscription;
  s.overdue.insert(bill.invoice.id);
  if (s.runs()) change(s, [&] { s.status = "past_due"; });
  set_delinquent(bill, true);
}

void Account::mark_settled(const Bill& bill) {
  Subscription& s = *bill.subscription;
  s.overdue.erase(bill.invoice.id);
  // A renewal that was paid for makes up for what was written off.
  const bool stands_in = bill.invoice.id == s.latest_invoice;
  const bool waiting = s.status == "incomplete" || s.status == "past_due" || s.status == "unpaid";
  if (!waiting || !(s.overdue.empty() || stands_in)) return;
  s.overdue.clear();
  change(s, [&] { s.status = "active"; });
  set_delinquent(bill, false);
}

void Account::set_delinquent(const Bill& bill, bool delinquent) {
  Customer& customer = *bill.customer;
  if (customer.deleted) return;
  update("customer.updated", customer, [&] { customer.delinquent = delinquent; });
}

}  // namespace billing::simulation
