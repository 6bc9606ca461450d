// One payment, from all that Stripe's objects say of it. Pure: the same objects in any order are the same
// payment.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/credit_plan.hpp"

namespace billing {

// A checkout session in payment mode.
struct CheckoutFacts {
  Json session;
  // checkout.session.async_payment_failed was told of: the session itself does not say so.
  bool failed = false;
};

// What is known of one payment.
struct PaymentSources {
  Json intent;                                // null when only others tell of it
  Seconds intent_told = 0;                    // of the event that the intent's snapshot is from
  std::vector<credits::ChargeFacts> charges;  // attempts, with refunds and disputes
  std::vector<CheckoutFacts> checkouts;
  std::string invoice_id;  // named by invoice payments; "" when none does
};

// Amounts in minor units.
struct Payment {
  std::string charge_id, session_id, invoice_id;
  std::string status;
  credits::Amount amount = 0;
  std::string currency;
  credits::Amount amount_refunded = 0;
  std::optional<Seconds> refunded_at;
  std::string dispute_status;  // Stripe's word for the latest dispute
  std::optional<Seconds> disputed_at;
  std::string customer_email, seller_id, description;
  Json metadata = Json::object();
  std::optional<Seconds> created, paid_at;
  std::vector<std::string> items;  // what was bought: metadata item_id, item_ids
};

// status:
//   completed, partially_refunded   paid; a part may have gone back
//   refunded                        all of it went back
//   disputed                        paid, and a dispute has withdrawn funds (inquiries do not)
//   charged_back                    the dispute is lost
//   authorized, processing, pending not paid yet: to be captured; on its way (delayed methods); nothing tried
//   failed, canceled                not paid; a later attempt may still pay what failed
Payment read_payment(const PaymentSources& sources);

// A payment that no invoice tells of. Since basil a payment intent does not say whether it pays an invoice:
// what a checkout made, or what carries metadata, was made by the application.
bool stands_alone(const Payment& payment, const PaymentSources& sources);

// Of what the payment bought:
//   active     paid, also when a part was refunded, while a dispute is an inquiry only, and once it is won
//   suspended  while a dispute is open
//   pending    not paid yet
//   refunded, revoked (a dispute was lost), failed, canceled
std::string enrollment_status(const Payment& payment);
// Since when it is refunded, suspended or revoked; empty otherwise.
std::optional<Seconds> enrollment_ended_at(const Payment& payment);

// The payment that an object tells of: the payment intent, or the charge or completed free session that has
// none. "" for objects that tell of none; a checkout that was left before anything was paid is none.
std::string payment_id_of(const std::string& object_type, const Json& object);

}  // namespace billing
