// Products and prices. https://docs.stripe.com/api/products https://docs.stripe.com/api/prices
#include "worker/simulation/api/parameters.hpp"
#include "worker/simulation/api/routes.hpp"

namespace billing::simulation {
namespace {

void fill_product(Shop& shop, Json& product, const Parameters& given) {
  given.copy(product, {"name", "description", "statement_descriptor", "unit_label", "url", "tax_code"});
  if (const auto active = given.flag("active")) product["active"] = *active;
  given.merge_metadata(product);
  const std::string price = given.text("default_price");
  if (!price.empty()) product["default_price"] = shop.get_named("price", price, "default_price").at("id");
  product["updated"] = shop.now();
}

Json make_product(Shop& shop, const Parameters& given) {
  Product product;
  product.id = given.text("id", shop.make_id("prod_"));
  if (shop.find("product", product.id))
    throw invalid("Product already exists.", "id", "resource_already_exists");
  product.name = given.required("name");
  product.created = shop.now();
  Json json = to_json(product, shop.shape());
  fill_product(shop, json, given);
  shop.tell("product.created", json);
  return json;
}

Json create_product(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"active", "description", "id", "images", "marketing_features", "metadata", "name", "shippable",
               "statement_descriptor", "tax_code", "type", "unit_label", "url"});
  return make_product(shop, given);
}

Json update_product(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"active", "default_price", "description", "images", "marketing_features", "metadata", "name",
               "shippable", "statement_descriptor", "tax_code", "unit_label", "url"});
  Json product = shop.get("product", call.id());
  shop.change("product.updated", product, [&](Json& changed) { fill_product(shop, changed, given); });
  return product;
}

Json delete_product(Shop& shop, const Call& call) {
  const Json product = shop.get("product", call.id());
  if (!shop.all("price", "product", call.id()).empty())
    throw invalid("This product cannot be deleted because it has one or more user-created prices.");
  shop.tell("product.deleted", product);
  shop.remove(product);
  return {{"id", call.id()}, {"object", "product"}, {"deleted", true}};
}

// One key is one price's: another has it only when it is handed over.
void claim_lookup_key(Shop& shop, Json& price, const Parameters& given) {
  if (!given.has("lookup_key")) return;
  const std::string key = given.text("lookup_key");
  for (Json& other : shop.all("price", "lookup_key", key)) {
    if (key.empty() || other["id"] == price["id"]) continue;
    if (!given.flag("transfer_lookup_key").value_or(false))
      throw invalid("A price (`" + other["id"].get<std::string>() + "`) already uses that lookup key.",
                    "lookup_key");
    shop.change("price.updated", other, [](Json& changed) { changed["lookup_key"] = nullptr; });
  }
  price["lookup_key"] = or_null(key);
}

void fill_price(Shop& shop, Json& price, const Parameters& given) {
  given.copy(price, {"nickname", "tax_behavior"});
  if (const auto active = given.flag("active")) price["active"] = *active;
  given.merge_metadata(price);
  claim_lookup_key(shop, price, given);
}

Json recurring_json(const Parameters& given) {
  const std::string interval = given.one_of("interval", {"day", "month", "week", "year"});
  if (interval.empty()) static_cast<void>(given.required("interval"));
  return {{"interval", interval},
          {"interval_count", given.integer("interval_count", 1).value_or(1)},
          {"meter", or_null(given.text("meter"))},
          {"trial_period_days", nullptr},
          {"usage_type", given.text("usage_type", "licensed")}};
}

Json create_price(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"active", "billing_scheme", "currency", "lookup_key", "metadata", "nickname", "product",
               "product_data", "recurring", "tax_behavior", "transfer_lookup_key", "unit_amount"});
  Price price;
  price.id = shop.make_id("price_");
  price.created = shop.now();
  const std::string currency = given.required("currency");
  const auto amount = given.integer("unit_amount");
  if (!amount)
    throw invalid(
        "You must specify either `unit_amount` or `unit_amount_decimal` when `billing_scheme=per_unit`.",
        "unit_amount", "parameter_missing");
  price.unit_amount = *amount;
  const Json product = given.has("product_data")
                           ? make_product(shop, given.object("product_data"))
                           : shop.get_named("product", given.required("product"), "product");
  price.product = product.at("id");
  Json json = to_json(price, shop.shape());
  json["currency"] = currency;
  json["nickname"] = nullptr;
  json["tax_behavior"] = "unspecified";
  json["type"] = given.has("recurring") ? "recurring" : "one_time";
  json["recurring"] = given.has("recurring") ? recurring_json(given.object("recurring")) : Json(nullptr);
  fill_price(shop, json, given);
  shop.tell("price.created", json);
  return json;
}

Json update_price(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"active", "lookup_key", "metadata", "nickname", "tax_behavior", "transfer_lookup_key"});
  Json price = shop.get("price", call.id());
  shop.change("price.updated", price, [&](Json& changed) { fill_price(shop, changed, given); });
  return price;
}

constexpr Route kRoutes[] = {{"POST", "products", create_product},
                             {"POST", "products/*", update_product},
                             {"DELETE", "products/*", delete_product},
                             {"POST", "prices", create_price},
                             {"POST", "prices/*", update_price}};

}  // namespace

std::span<const Route> catalogue_routes() { return kRoutes; }

}  // namespace billing::simulation
