// Invoices, their lines, and since basil the payments of invoices.
#include "worker/simulation/shapes.hpp"

namespace billing::simulation {
namespace {

Json line_before_basil(const Line& line, const Invoice& invoice, const Shape& shape) {
  Json json = Json::object();
  json["plan"] = plan_json(*line.price, shape);
  json["price"] = to_json(*line.price, shape);
  json["proration"] = line.proration;
  json["subscription"] = or_null(invoice.subscription);
  if (!line.proration) json["subscription_item"] = or_null(line.item);
  json["tax_amounts"] = Json::array();
  json["tax_rates"] = Json::array();
  json["type"] = line.proration || line.item.empty() ? "invoiceitem" : "subscription";
  return json;
}

Json line_since_basil(const Line& line, const Invoice& invoice) {
  const bool by_item = line.proration || line.item.empty();
  const char* kind = by_item ? "invoice_item_details" : "subscription_item_details";
  Json details = Json::object();
  details["proration"] = line.proration;
  details["proration_details"] = {{"credited_items", nullptr}};
  details["subscription"] = or_null(invoice.subscription);
  if (by_item)
    details["invoice_item"] = "ii" + line.id.substr(2);
  else
    details["subscription_item"] = line.item;
  Json parent = {{"invoice_item_details", nullptr}, {"subscription_item_details", nullptr}, {"type", kind}};
  parent[kind] = std::move(details);
  Json json = Json::object();
  json["invoice"] = or_null(invoice.id);
  json["parent"] = std::move(parent);
  json["pretax_credit_amounts"] = Json::array();
  json["pricing"] = {{"price_details", {{"price", line.price->id}, {"product", line.price->product}}},
                     {"type", "price_details"},
                     {"unit_amount_decimal", std::to_string(line.price->unit_amount)}};
  json["taxes"] = Json::array();
  return json;
}

Json line_json(const Line& line, const Invoice& invoice, const Shape& shape) {
  Json json = shape.version.basil ? line_since_basil(line, invoice) : line_before_basil(line, invoice, shape);
  json["id"] = line.id;
  json["object"] = "line_item";
  json["amount"] = line.amount;
  json["currency"] = "eur";
  json["description"] = line.description;
  json["discount_amounts"] = Json::array();
  json["discountable"] = !line.proration;
  json["discounts"] = Json::array();
  json["livemode"] = shape.livemode;
  json["metadata"] = Json::object();
  json["period"] = {{"end", line.period.end}, {"start", line.period.start}};
  json["quantity"] = line.quantity;
  return json;
}

void add_before_basil(Json& json, const Invoice& invoice) {
  json["charge"] = or_null(invoice.charge);
  json["paid"] = invoice.status == "paid";
  json["payment_intent"] = or_null(invoice.payment_intent);
  json["subscription"] = or_null(invoice.subscription);
  if (!invoice.subscription.empty())
    json["subscription_details"] = {{"metadata", Json(invoice.subscription_metadata)}};
}

void add_since_basil(Json& json, const Invoice& invoice, const Shape& shape) {
  if (invoice.subscription.empty()) {
    json["parent"] = nullptr;
  } else {
    Json details = Json::object();
    details["metadata"] = invoice.subscription_metadata;
    details["subscription"] = invoice.subscription;
    json["parent"] = {{"quote_details", nullptr}, {"type", "subscription_details"}};
    json["parent"]["subscription_details"] = std::move(details);
  }
  Json payments = Json::array();
  if (!invoice.payment.empty()) payments.push_back(to_json(InvoicePayment{invoice}, shape));
  json["payments"] = list_json(std::move(payments), "/v1/invoices/payments");
}

const Json& invoice_members(const Shape& shape) {
  static const char* const kCommon = R"({
    "object": "invoice", "account_country": "IE", "account_name": "Example Ltd", "account_tax_ids": null,
    "currency": "eur", "custom_fields": null, "customer_address": null, "customer_name": null,
    "customer_tax_exempt": "none", "default_payment_method": null, "default_source": null,
    "default_tax_rates": [], "description": null, "discounts": [], "footer": null, "metadata": {},
    "on_behalf_of": null, "post_payment_credit_notes_amount": 0, "pre_payment_credit_notes_amount": 0,
    "receipt_number": null, "starting_balance": 0, "statement_descriptor": null, "total_discount_amounts": []})";
  static const Json before_basil = common_members(kCommon, R"({
    "application_fee_amount": null, "automatic_tax": {"enabled": false, "status": null}, "discount": null,
    "paid_out_of_band": false, "quote": null, "tax": null, "total_tax_amounts": [], "transfer_data": null})");
  static const Json since_basil = common_members(kCommon, R"({
    "amount_overpaid": 0, "amount_shipping": 0, "from_invoice": null, "issuer": {"type": "self"},
    "automatic_tax": {"disabled_reason": null, "enabled": false, "liability": null, "provider": null,
      "status": null}, "latest_revision": null, "rendering": null, "total_pretax_credit_amounts": [],
    "total_taxes": []})");
  return shape.version.basil ? since_basil : before_basil;
}

}  // namespace

Json to_json(const Invoice& invoice, const Shape& shape) {
  const bool final = invoice.status != "draft";
  const std::int64_t due = invoice.amount_due();
  Json lines = Json::array();
  for (const Line& line : invoice.lines) lines.push_back(line_json(line, invoice, shape));
  Json json = invoice_members(shape);
  // An upcoming invoice has no id.
  if (!invoice.id.empty()) json["id"] = invoice.id;
  json["amount_due"] = due;
  json["amount_paid"] = invoice.amount_paid;
  json["amount_remaining"] = due - invoice.amount_paid;
  json["attempt_count"] = invoice.attempts;
  json["attempted"] = invoice.attempts > 0 || invoice.status == "paid";
  json["auto_advance"] = invoice.status == "draft" || invoice.status == "open";
  json["billing_reason"] = invoice.reason;
  json["collection_method"] = invoice.by_invoice ? "send_invoice" : "charge_automatically";
  json["created"] = invoice.created;
  json["customer"] = invoice.customer;
  json["due_date"] = or_null(invoice.due);
  json["ending_balance"] = final ? Json(0) : Json(nullptr);
  json["lines"] = list_json(std::move(lines), "/v1/invoices/" + invoice.id + "/lines");
  json["livemode"] = shape.livemode;
  json["next_payment_attempt"] = or_null(invoice.next_attempt);
  json["number"] = or_null(invoice.number);
  json["period_end"] = invoice.period.end;
  json["period_start"] = invoice.period.start;
  json["status"] = invoice.id.empty() ? Json("draft") : Json(invoice.status);
  json["status_transitions"] = {{"finalized_at", or_null(invoice.finalized)},
                                {"marked_uncollectible_at", or_null(invoice.uncollectible)},
                                {"paid_at", or_null(invoice.paid)},
                                {"voided_at", or_null(invoice.voided)}};
  json["subtotal"] = invoice.total();
  json["total"] = invoice.total();
  json["webhooks_delivered_at"] = or_null(invoice.finalized);
  if (shape.version.basil)
    add_since_basil(json, invoice, shape);
  else
    add_before_basil(json, invoice);
  return json;
}

Json to_json(const InvoicePayment& payment, const Shape& shape) {
  const Invoice& invoice = payment.invoice;
  const bool paid = invoice.status == "paid";
  const bool canceled = invoice.status == "void";
  Json json = Json::object();
  json["id"] = invoice.payment;
  json["object"] = "invoice_payment";
  json["amount_paid"] = paid ? Json(invoice.amount_paid) : Json(nullptr);
  json["amount_requested"] = invoice.amount_due();
  json["created"] = or_null(invoice.finalized);
  json["currency"] = "eur";
  json["invoice"] = invoice.id;
  json["is_default"] = true;
  json["livemode"] = shape.livemode;
  json["payment"] = {{"payment_intent", invoice.payment_intent}, {"type", "payment_intent"}};
  json["status"] = paid ? "paid" : canceled ? "canceled" : "open";
  json["status_transitions"] = {{"canceled_at", canceled ? or_null(invoice.voided) : Json(nullptr)},
                                {"paid_at", or_null(invoice.paid)}};
  return json;
}

}  // namespace billing::simulation
