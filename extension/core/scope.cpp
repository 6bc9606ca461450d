#include "core/scope.hpp"

#include <algorithm>

#include "core/fields.hpp"

namespace billing {
namespace {

constexpr std::string_view kExample =
    R"(write all, or {"products": ["prod_..."], "metadata": {"app": "shop"}})";

[[noreturn]] void refuse(const std::string& problem) {
  throw JsonError("scope " + problem + ": " + std::string(kExample));
}

void read_products(const Json& value, Scope& scope) {
  if (!value.is_array()) refuse("\"products\" is not a list");
  for (const Json& product : value) {
    if (!product.is_string() || product.get_ref<const std::string&>().empty()) {
      refuse("has a product that is not an id, " + excerpt(product));
    }
    scope.products.insert(product.get<std::string>());
  }
}

void read_metadata(const Json& value, Scope& scope) {
  if (!value.is_object()) refuse("\"metadata\" is not an object");
  for (const auto& [key, expected] : value.items()) {
    if (!expected.is_string()) refuse("has a metadata value that is not text, " + excerpt(expected));
    scope.metadata[key] = expected.get<std::string>();
  }
}

bool metadata_matches(const Scope& scope, const Json& metadata) {
  return std::any_of(scope.metadata.begin(), scope.metadata.end(),
                     [&](const auto& pair) { return text_of(metadata, pair.first.c_str()) == pair.second; });
}

bool product_matches(const Scope& scope, const Json& item_or_line) {
  const std::string since_basil = id_of(at(at(item_or_line, "pricing"), "price_details"), "product");
  return scope.products.contains(since_basil) ||
         scope.products.contains(fields::price_product(fields::item_price(item_or_line)));
}

bool list_matches(const Scope& scope, const Json& holder, const char* key) {
  const Json& list = list_of(holder, key);
  return std::any_of(list.begin(), list.end(), [&](const Json& entry) {
    return product_matches(scope, entry) || metadata_matches(scope, at(entry, "metadata"));
  });
}

bool matches(const Scope& scope, const Json& object) {
  return metadata_matches(scope, at(object, "metadata")) ||
         metadata_matches(scope, fields::invoice_subscription_metadata(object)) ||
         product_matches(scope, object) || list_matches(scope, object, "items") ||
         list_matches(scope, object, "lines");
}

// What was cut off might have matched.
bool is_truncated(const Json& object) {
  return flag_of(at(object, "items"), "has_more") || flag_of(at(object, "lines"), "has_more");
}

}  // namespace

Scope parse_scope(std::string_view value) {
  Scope scope;
  if (value == "all" || value == "\"all\"") return scope;
  Json json;
  try {
    json = parse_json(value);
  } catch (const JsonError& error) {
    refuse(std::string("is not usable (") + error.what() + ")");
  }
  if (!json.is_object()) refuse("is neither all nor an object, " + excerpt(json));
  scope.all = false;
  for (const auto& [key, member] : json.items()) {
    if (key == "products") {
      read_products(member, scope);
    } else if (key == "metadata") {
      read_metadata(member, scope);
    } else {
      refuse("has an unknown member, " + excerpt(key));
    }
  }
  if (scope.products.empty() && scope.metadata.empty()) refuse("names neither products nor metadata");
  return scope;
}

bool names_scope(const Scope& scope, const Json& metadata) {
  return scope.all || metadata_matches(scope, metadata);
}

bool in_scope(const Scope& scope, const Event& event) {
  if (scope.all || !event.object.is_object()) return true;
  const std::string& type = event.object_type;
  if (type != "subscription" && type != "subscription_item" && type != "invoice") return true;
  // An update that takes an object out of the scope is the last that we need to see of it.
  return is_truncated(event.object) || matches(scope, event.object) ||
         matches(scope, event.previous_attributes);
}

}  // namespace billing
