#include "functions/concern.hpp"

#include "core/credit_plan.hpp"
#include "core/customer_link.hpp"
#include "core/fields.hpp"
#include "core/scope.hpp"
#include "core/test_clock.hpp"
#include "functions/dependencies.hpp"

namespace billing {

void judge_admission(Work& work, const Settings& settings) {
  const Event& event = *work.event;
  if (event.livemode != settings.live) {
    work.settle(Outcome::ignored, std::string("an event of ") + (event.livemode ? "live" : "test") +
                                      " mode, while billing.mode is " + (settings.live ? "live" : "test"));
  } else if (event.thin) {
    work.wants_fetch = true;
    work.settle(Outcome::ignored, "a thin event names its object without carrying it");
  } else if (!in_scope(settings.scope, event)) {
    work.settle(Outcome::ignored, "outside billing.scope");
    work.keep_payload = false;
  }
}

bool names_clock(const Event& event) {
  return event.object_type == "customer" && !test_clock_of(event.object).empty();
}

bool concerns_user(const Work& work) {
  const Event& event = *work.event;
  if (work.customer.empty()) return false;
  if (needs_user(event) || link_evidence(event)) return true;
  if (event.object_type == "customer") return is_deletion(event.type) || names_clock(event);
  if (tells_of_payback(event) || event.object_type == "payment_intent") return true;
  return event.object_type == "invoice" &&
         (fields::invoice_is_paid(event.object) || credits::may_grant(event.object));
}

bool tells_of_payback(const Event& event) {
  return event.object_type == "charge" || event.object_type == "invoice_payment" ||
         event.object_type == "credit_note" || tells_of_charge(event);
}

bool pays_invoice(const Event& event) {
  return event.object_type == "invoice_payment" &&
         !fields::parent_id(event.object_type, event.object).empty();
}

mirror::Key invoice_of(const Event& invoice_payment) {
  return {invoice_payment.account, invoice_payment.livemode, "invoice",
          fields::parent_id(invoice_payment.object_type, invoice_payment.object)};
}

std::string subscription_of(const Event& event) {
  if (event.object_type == "subscription") return event.object_id;
  if (event.object_type == "invoice" || event.object_type == "subscription_schedule")
    return fields::parent_id(event.object_type, event.object);
  return "";
}

}  // namespace billing
