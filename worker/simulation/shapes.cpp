// What the shapes share, and the small objects: products, prices, customers, payment methods.
#include "worker/simulation/shapes.hpp"

namespace billing::simulation {

Json common_members(const char* text, const char* more) {
  Json members = Json::parse(text);
  members.update(Json::parse(more));
  return members;
}

Json list_json(Json elements, const std::string& url) {
  Json list = Json::object();
  list["object"] = "list";
  list["has_more"] = false;
  list["total_count"] = elements.size();
  list["data"] = std::move(elements);
  list["url"] = url;
  return list;
}

Json difference(const Json& before, const Json& after) {
  Json previous = Json::object();
  for (const auto& [key, was] : before.items()) {
    const auto is = after.find(key);
    if (is == after.end())
      previous[key] = was;
    else if (*is == was)
      continue;
    else if (is->is_object() && was.is_object())
      previous[key] = difference(was, *is);
    else
      previous[key] = was;
  }
  for (const auto& [key, is] : after.items())
    if (!before.contains(key)) previous[key] = nullptr;
  return previous;
}

Json to_json(const Product& product, const Shape& shape) {
  static const Json common = common_members(R"({
    "object": "product", "active": true, "attributes": [], "default_price": null, "features": [], "images": [],
    "marketing_features": [], "metadata": {}, "package_dimensions": null, "shippable": null,
    "statement_descriptor": null, "tax_code": null, "type": "service", "unit_label": null, "url": null})");
  Json json = common;
  json["id"] = product.id;
  json["created"] = product.created;
  json["description"] = or_null(product.description);
  json["livemode"] = shape.livemode;
  json["metadata"] = product.metadata;
  json["name"] = product.name;
  json["updated"] = product.updated;
  return json;
}

Json to_json(const Price& price, const Shape& shape) {
  static const char* const kCommon = R"({
    "object": "price", "billing_scheme": "per_unit", "currency": "eur", "metadata": {},
    "tax_behavior": "exclusive", "tiers_mode": null, "transform_quantity": null, "type": "recurring"})";
  static const Json before_basil = common_members(kCommon, R"({"recurring": {
    "aggregate_usage": null, "interval_count": 1, "trial_period_days": null, "usage_type": "licensed"}})");
  static const Json since_basil = common_members(kCommon, R"({"custom_unit_amount": null, "recurring": {
    "meter": null, "interval_count": 1, "trial_period_days": null, "usage_type": "licensed"}})");
  Json json = shape.version.basil ? since_basil : before_basil;
  json["id"] = price.id;
  json["active"] = price.active;
  json["created"] = price.created;
  json["livemode"] = shape.livemode;
  json["lookup_key"] = or_null(price.lookup_key);
  json["metadata"] = price.metadata;
  json["nickname"] = price.nickname;
  json["product"] = price.product;
  json["recurring"]["interval"] = price.months == 12 ? "year" : "month";
  json["unit_amount"] = price.unit_amount;
  json["unit_amount_decimal"] = std::to_string(price.unit_amount);
  return json;
}

Json plan_json(const Price& price, const Shape& shape) {
  static const char* const kCommon = R"({
    "object": "plan", "billing_scheme": "per_unit", "currency": "eur", "interval_count": 1, "metadata": {},
    "tiers_mode": null, "transform_usage": null, "trial_period_days": null, "usage_type": "licensed"})";
  static const Json before_basil = common_members(kCommon, R"({"aggregate_usage": null})");
  static const Json since_basil = common_members(kCommon, R"({"meter": null})");
  Json json = shape.version.basil ? since_basil : before_basil;
  json["id"] = price.id;
  json["active"] = price.active;
  json["amount"] = price.unit_amount;
  json["amount_decimal"] = std::to_string(price.unit_amount);
  json["created"] = price.created;
  json["interval"] = price.months == 12 ? "year" : "month";
  json["livemode"] = shape.livemode;
  json["metadata"] = price.metadata;
  json["nickname"] = price.nickname;
  json["product"] = price.product;
  return json;
}

Json to_json(const Customer& customer, const Shape& shape) {
  static const char* const kCommon = R"({
    "object": "customer", "balance": 0, "currency": "eur", "default_source": null, "description": null,
    "discount": null, "next_invoice_sequence": 1, "preferred_locales": [], "shipping": null,
    "tax_exempt": "none", "test_clock": null})";
  static const Json before_basil =
      common_members(kCommon, R"({"invoice_settings": {"custom_fields": null, "footer": null}})");
  static const Json since_basil = common_members(
      kCommon, R"({"invoice_settings": {"custom_fields": null, "footer": null, "rendering_options": null}})");
  Json json = shape.version.basil ? since_basil : before_basil;
  json["id"] = customer.id;
  if (customer.country.empty())
    json["address"] = nullptr;
  else
    json["address"] = {{"city", nullptr},  {"country", customer.country}, {"line1", nullptr},
                       {"line2", nullptr}, {"postal_code", nullptr},      {"state", nullptr}};
  json["created"] = customer.created;
  json["delinquent"] = customer.delinquent;
  json["email"] = or_null(customer.email);
  json["invoice_prefix"] = customer.id.substr(customer.id.size() - 8);
  json["invoice_settings"]["default_payment_method"] = or_null(customer.payment_method);
  json["livemode"] = shape.livemode;
  json["metadata"] = customer.metadata;
  json["name"] = or_null(customer.name);
  json["phone"] = or_null(customer.phone);
  return json;
}

Json to_json(const PaymentMethod& method, const Shape& shape) {
  static const Json common = common_members(R"({
    "object": "payment_method", "metadata": {}, "type": "card",
    "billing_details": {"address": {"city": null, "country": null, "line1": null, "line2": null,
      "postal_code": null, "state": null}, "email": null, "name": null, "phone": null},
    "card": {"brand": "visa", "checks": {"address_line1_check": null, "address_postal_code_check": null,
      "cvc_check": "pass"}, "country": "IE", "exp_month": 9, "fingerprint": "Q0fwJxB1t5sNDqUz",
      "funding": "credit", "generated_from": null, "networks": {"available": ["visa"], "preferred": null},
      "three_d_secure_usage": {"supported": true}, "wallet": null}})");
  Json json = common;
  json["id"] = method.id;
  json["card"]["exp_year"] = method.expires;
  json["card"]["last4"] = method.last4;
  json["created"] = method.created;
  json["customer"] = or_null(method.customer);
  json["livemode"] = shape.livemode;
  return json;
}

}  // namespace billing::simulation
