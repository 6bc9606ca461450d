// Payment intents, charges, refunds and disputes.
#include "worker/simulation/shapes.hpp"

namespace billing::simulation {
namespace {

Json card_json(const std::string& code) {
  return {{"charge", nullptr},
          {"code", code},
          {"decline_code", code == "card_declined" ? "insufficient_funds" : "generic_decline"},
          {"message", "Your card was declined."},
          {"type", "card_error"}};
}

}  // namespace

Json to_json(const PaymentIntent& intent, const Shape& shape) {
  static const char* const kCommon = R"({
    "object": "payment_intent", "amount_capturable": 0, "application": null, "application_fee_amount": null,
    "automatic_payment_methods": null, "capture_method": "automatic", "confirmation_method": "automatic",
    "currency": "eur", "description": "Subscription", "metadata": {}, "on_behalf_of": null,
    "payment_method_options": {}, "payment_method_types": ["card"], "processing": null, "receipt_email": null,
    "review": null, "setup_future_usage": "off_session", "shipping": null, "statement_descriptor": null,
    "statement_descriptor_suffix": null, "transfer_data": null, "transfer_group": null})";
  static const Json common = common_members(kCommon);
  Json json = common;
  json["id"] = intent.id;
  json["amount"] = intent.amount;
  json["amount_received"] = intent.status == "succeeded" ? intent.amount : 0;
  json["canceled_at"] = or_null(intent.canceled);
  json["cancellation_reason"] = intent.canceled ? Json("void_invoice") : Json(nullptr);
  json["created"] = intent.created;
  json["customer"] = intent.customer;
  if (!shape.version.basil) json["invoice"] = or_null(intent.invoice);
  json["last_payment_error"] = intent.error.empty() ? Json(nullptr) : card_json(intent.error);
  json["latest_charge"] = or_null(intent.charge);
  json["livemode"] = shape.livemode;
  json["next_action"] = intent.status == "requires_action" ? Json{{"type", "use_stripe_sdk"}} : Json(nullptr);
  json["payment_method"] = or_null(intent.method);
  json["status"] = intent.status;
  return json;
}

Json to_json(const Charge& charge, const Shape& shape) {
  static const Json common = common_members(R"({
    "object": "charge", "application": null, "application_fee": null, "application_fee_amount": null,
    "billing_details": {"address": null, "email": null, "name": null, "phone": null},
    "calculated_statement_descriptor": "EXAMPLE", "captured": true, "currency": "eur",
    "description": "Subscription", "destination": null, "failure_balance_transaction": null,
    "fraud_details": {}, "metadata": {}, "on_behalf_of": null, "receipt_email": null, "receipt_number": null,
    "review": null, "shipping": null, "source": null, "source_transfer": null, "statement_descriptor": null,
    "statement_descriptor_suffix": null, "transfer_data": null, "transfer_group": null})");
  const bool succeeded = charge.status == "succeeded";
  Json json = common;
  json["id"] = charge.id;
  json["amount"] = charge.amount;
  json["amount_captured"] = succeeded ? charge.amount : 0;
  json["amount_refunded"] = charge.amount_refunded();
  json["balance_transaction"] = succeeded ? Json("txn" + charge.id.substr(2)) : Json(nullptr);
  json["created"] = charge.created;
  json["customer"] = charge.customer;
  json["disputed"] = !charge.dispute.empty();
  json["failure_code"] = or_null(charge.failure);
  json["failure_message"] = succeeded ? Json(nullptr) : Json("Your card was declined.");
  json["livemode"] = shape.livemode;
  json["paid"] = succeeded;
  json["payment_intent"] = or_null(charge.payment_intent);
  json["payment_method"] = or_null(charge.method);
  json["refunded"] = charge.amount > 0 && charge.amount_refunded() == charge.amount;
  json["status"] = charge.status;
  if (shape.version.basil) return json;
  Json refunds = Json::array();
  for (const Refund& refund : charge.refunds) refunds.insert(refunds.begin(), to_json(refund, shape));
  json["dispute"] = or_null(charge.dispute);
  json["invoice"] = or_null(charge.invoice);
  json["refunds"] = list_json(std::move(refunds), "/v1/charges/" + charge.id + "/refunds");
  return json;
}

Json to_json(const Refund& refund, const Shape& shape) {
  Json json = Json::object();
  json["id"] = refund.id;
  json["object"] = "refund";
  json["amount"] = refund.amount;
  json["balance_transaction"] = "txn" + refund.id.substr(2);
  json["charge"] = refund.charge;
  json["created"] = refund.created;
  json["currency"] = "eur";
  if (shape.version.basil) json["destination_details"] = {{"card", {{"type", "refund"}}}, {"type", "card"}};
  if (refund.status == "failed") json["failure_reason"] = "expired_or_canceled_card";
  json["metadata"] = Json::object();
  json["payment_intent"] = or_null(refund.payment_intent);
  json["reason"] = or_null(refund.reason);
  json["receipt_number"] = nullptr;
  json["source_transfer_reversal"] = nullptr;
  json["status"] = refund.status;
  json["transfer_reversal"] = nullptr;
  return json;
}

Json to_json(const Dispute& dispute, const Shape& shape) {
  Json transactions = Json::array();
  for (const std::int64_t amount : dispute.transactions) {
    Json transaction = Json::object();
    transaction["id"] = "txn" + dispute.id.substr(2) + std::to_string(transactions.size());
    transaction["object"] = "balance_transaction";
    transaction["amount"] = amount;
    transaction["currency"] = "eur";
    transaction["type"] = "adjustment";
    transactions.push_back(std::move(transaction));
  }
  Json json = Json::object();
  json["id"] = dispute.id;
  json["object"] = "dispute";
  json["amount"] = dispute.amount;
  json["balance_transactions"] = std::move(transactions);
  json["charge"] = dispute.charge;
  json["created"] = dispute.created;
  json["currency"] = "eur";
  json["evidence"] = {{"product_description", nullptr}, {"uncategorized_text", nullptr}};
  json["evidence_details"] = {{"due_by", dispute.created + 14 * 86400},
                              {"has_evidence", dispute.status != "needs_response"},
                              {"past_due", false},
                              {"submission_count", dispute.status == "needs_response" ? 0 : 1}};
  json["is_charge_refundable"] = dispute.status.starts_with("warning_");
  json["livemode"] = shape.livemode;
  json["metadata"] = Json::object();
  json["payment_intent"] = or_null(dispute.payment_intent);
  json["reason"] = dispute.reason;
  json["status"] = dispute.status;
  return json;
}

}  // namespace billing::simulation
