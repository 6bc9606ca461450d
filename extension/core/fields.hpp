// Version-tolerant accessors: one function per field whose place differs between Stripe API versions.
// Each reads the shape from before 2025-03-31.basil and the one since. `object` is the Stripe object.
#pragma once

#include <optional>
#include <string>

#include "core/json.hpp"

namespace billing::fields {

struct Period {
  std::optional<Seconds> start;
  std::optional<Seconds> end;
};

// Subscription: `current_period_*`, or since basil those of its items. With several item periods the start is
// the latest start (the period being billed now) and the end the latest end (entitled longest).
Period subscription_period(const Json& subscription);
// The soonest end over the items: when the next renewal is due.
std::optional<Seconds> next_renewal(const Json& subscription);
Period item_period(const Json& item, const Json& subscription);

// Subscription item: `price`, or `plan` in versions before prices existed. Null when neither.
const Json& item_price(const Json& item);
std::string price_product(const Json& price);  // the product id, expanded or not

// Invoice.
std::string invoice_subscription(const Json& invoice);  // "" for a one-off invoice
const Json& invoice_subscription_metadata(const Json& invoice);
bool invoice_is_paid(const Json& invoice);                // `paid`, or `status = 'paid'`
std::string invoice_charge(const Json& invoice);          // ch_..., "" when unknown
std::string invoice_payment_intent(const Json& invoice);  // pi_..., "" when unknown
std::optional<Seconds> invoice_paid_until(
    const Json& invoice);  // latest period end of its non-proration subscription lines

// Invoice line item.
std::string line_price(const Json& line);
std::string line_subscription(const Json& line);
bool line_is_proration(const Json& line);
// Whether it is of a subscription's own price: not of an invoice item (a one-off charge).
bool line_is_of_subscription(const Json& line);
std::string line_subscription_item(const Json& line);  // si_..., "" when unknown
// A proration that names what was charged before is the credit for it.
bool line_credits_earlier(const Json& line);
std::string line_id(const Json& line);  // il_..., the same in every version; "" when the version has none

// Charge or payment intent: the invoice it paid; "" since basil.
std::string payment_invoice(const Json& charge_or_intent);
// Refund, dispute: the charge.
std::string refund_charge(const Json& refund_or_dispute);
// InvoicePayment object (since basil): invoice and payment intent or charge.
std::string invoice_payment_invoice(const Json& invoice_payment);
std::string invoice_payment_intent_of(const Json& invoice_payment);

// Discount: `coupon`, or since clover `source.coupon`. The id.
std::string discount_coupon(const Json& discount);

// The object that this one belongs to, "" when none: invoice -> subscription, charge -> invoice or payment
// intent, refund and dispute -> payment intent or else charge, invoice payment and credit note -> invoice,
// schedule -> subscription, checkout session -> subscription or payment intent. Stored beside the mirror row,
// indexed.
std::string parent_id(const std::string& object_type, const Json& object);

}  // namespace billing::fields
