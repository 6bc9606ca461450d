// Money that goes back: refunds and disputes.
#include <array>

#include "worker/simulation/account.hpp"

namespace billing::simulation {

void Account::maybe_return(const BillPtr& bill) {
  const std::int64_t amount = bill->charge.amount;
  if (amount < 100) return;
  const auto plan = [&](std::int64_t part, bool fails) {
    later(kHour, 25 * kDay, [this, bill, part, fails] { refund(bill, part, fails); });
  };
  switch (random_.weighted({86, 4, 3, 2, 1, 2, 1})) {
    case 1:
      plan(amount, false);
      break;
    case 2:
      plan(amount / 3, false);
      break;
    case 3:  // in two parts, sometimes within one second
      later(kHour, 25 * kDay, [this, bill, amount] {
        refund(bill, amount / 4, false);
        refund(bill, amount - amount / 4, false);
      });
      break;
    case 4:
      plan(amount, true);
      break;
    case 5:
      later(kDay, 40 * kDay, [this, bill] { dispute(bill, false); });
      break;
    case 6:
      later(kDay, 40 * kDay, [this, bill] { dispute(bill, true); });
      break;
    default:
      break;
  }
}

void Account::refund(const BillPtr& bill, std::int64_t amount, bool fails) {
  constexpr std::array kReasons = {"", "duplicate", "fraudulent", "requested_by_customer"};
  Charge& charge = bill->charge;
  if (!charge.dispute.empty() || amount > charge.amount - charge.amount_refunded()) return;
  note(amount == charge.amount ? "refund_full" : "refund_partial");
  const bool pending = fails || random_.chance(0.3);
  Refund made;
  made.id = random_.id("re_");
  made.charge = charge.id;
  made.payment_intent = charge.payment_intent;
  made.amount = amount;
  made.reason = random_.pick(kReasons);
  made.status = pending ? "pending" : "succeeded";
  const std::size_t index = charge.refunds.size();
  update("charge.refunded", charge, [&] {
    made.created = now_;
    charge.refunds.push_back(made);
  });
  if (shape_.version.basil) tell("refund.created", charge.refunds[index]);
  follow_refunds(*bill);
  if (pending)
    later(kHour, 5 * kDay,
          [this, bill, index, fails] { set_refund_status(bill, index, fails ? "failed" : "succeeded"); });
  if (bill->subscription == nullptr || amount < charge.amount || !random_.chance(0.4)) return;
  Subscription& s = *bill->subscription;
  if (s.live()) end(s, "cancellation_requested");
}

// A refund's status shows in the charge too where that lists its refunds.
void Account::set_refund_status(const BillPtr& bill, std::size_t index, const char* status) {
  note(std::string("refund_") + status);
  Charge& charge = bill->charge;
  Refund& refund = charge.refunds[index];
  const Json refund_before = to_json(refund, shape_);
  update("charge.updated", charge, [&] { refund.status = status; });
  const Json refund_now = to_json(refund, shape_);
  const bool failed = refund.status == "failed";
  const char* type = !shape_.version.basil ? "charge.refund.updated"
                     : failed              ? "refund.failed"
                                           : "refund.updated";
  const bool says_before = !shape_.version.basil || !failed;
  emit(type, refund_now, says_before ? difference(refund_before, refund_now) : Json());
  snapshot(refund);
  follow_refunds(*bill);
}

void Account::follow_refunds(Bill& bill) {
  if (bill.paid) bill.paid->returned = bill.charge.amount_refunded() == bill.charge.amount;
}

void Account::dispute(const BillPtr& bill, bool warning) {
  constexpr std::array kReasons = {"fraudulent", "product_not_received", "general"};
  Charge& charge = bill->charge;
  if (!charge.dispute.empty() || !charge.refunds.empty()) return;
  note(warning ? "dispute_warning" : "dispute");
  const auto made = std::make_shared<Dispute>();
  made->id = random_.id("dp_");
  made->charge = charge.id;
  made->payment_intent = charge.payment_intent;
  made->amount = charge.amount;
  made->reason = random_.pick(kReasons);
  if (warning) made->status = "warning_needs_response";
  update("charge.updated", charge, [&] { charge.dispute = made->id; });
  made->created = now_;
  tell("charge.dispute.created", *made);
  const std::string stage = warning ? "warning_" : "";
  if (!warning) {
    tick();
    made->transactions.push_back(-made->amount);
    tell("charge.dispute.funds_withdrawn", *made);
  }
  later(kDay, 6 * kDay, [this, made, stage] {
    update("charge.dispute.updated", *made, [&] { made->status = stage + "under_review"; });
  });
  later(10 * kDay, 50 * kDay, [this, bill, made, warning] {
    const bool won = random_.chance(0.4);
    tick();
    made->status = warning ? "warning_closed" : won ? "won" : "lost";
    note("dispute_" + made->status);
    tell("charge.dispute.closed", *made);
    if (!warning && !won && bill->paid) bill->paid->returned = true;
    if (warning || !won) return;
    tick();
    made->transactions.push_back(made->amount);
    tell("charge.dispute.funds_reinstated", *made);
  });
}

}  // namespace billing::simulation
