#include "worker/simulation/api/reading.hpp"

#include <algorithm>
#include <array>

#include "worker/simulation/api/parameters.hpp"
#include "worker/stripe/resource.hpp"
#include "worker/text.hpp"

namespace billing::simulation {
namespace {

// What only the simulated account is asked for.
constexpr std::array<stripe::Resource, 5> kMore = {{
    {"billing.meter", "billing/meters"},
    {"billing_portal.configuration", "billing_portal/configurations"},
    {"entitlements.active_entitlement", "entitlements/active_entitlements"},
    {"entitlements.feature", "entitlements/features"},
    {"webhook_endpoint", "webhook_endpoints"},
}};

std::vector<stripe::Resource> resources() {
  std::vector<stripe::Resource> all(stripe::resources().begin(), stripe::resources().end());
  all.insert(all.end(), kMore.begin(), kMore.end());
  return all;
}

void read_bounds(const Parameters& given, Books::Query& query) {
  if (!given.values().at("created").is_object()) {
    query.from = given.integer("created").value_or(0);
    query.until = query.from + 1;
    return;
  }
  const Parameters created = given.object("created");
  created.allow({"gt", "gte", "lt", "lte"});
  if (const auto bound = created.integer("gte")) query.from = *bound;
  if (const auto bound = created.integer("gt")) query.from = *bound + 1;
  if (const auto bound = created.integer("lt")) query.until = *bound;
  if (const auto bound = created.integer("lte")) query.until = *bound + 1;
}

// https://docs.stripe.com/api/subscriptions/list#list_subscriptions-status
void read_status(const Parameters& given, Books::Query& query) {
  const std::string status = given.text("status");
  if (query.type == "subscription" && status.empty()) query.without = {"status", "canceled"};
  if (status.empty() || (query.type == "subscription" && status == "all")) return;
  if (query.type == "subscription" && status == "ended")
    query.members["status"] = {"canceled", "incomplete_expired"};
  else
    query.members["status"] = {status};
}

Books::Query read_query(const Parameters& given, std::string_view type) {
  Books::Query query;
  query.type = type;
  for (const auto& [name, value] : given.values().items()) {
    if (name == "limit") {
      const auto limit = given.integer("limit", 1);
      if (!limit || *limit > 100)
        throw invalid("Invalid integer: " + given.text("limit"), "limit", "parameter_invalid_integer");
      query.limit = static_cast<std::size_t>(*limit);
    } else if (name == "starting_after") {
      query.starting_after = given.required("starting_after");
    } else if (name == "ending_before") {
      query.ending_before = given.required("ending_before");
    } else if (name == "created") {
      read_bounds(given, query);
    } else if (name == "lookup_keys" || name == "ids") {
      const auto wanted = given.texts(name.c_str());
      query.members[name == "ids" ? "id" : "lookup_key"] = {wanted.begin(), wanted.end()};
    } else if (name == "type" && value == "card") {
      continue;
    } else if (Books::knows_member(name) && name != "id") {
      if (name != "status") query.members[name] = {given.text(name.c_str())};
    } else if (name != "expand") {
      throw invalid("Received unknown parameter: " + name, name, "parameter_unknown");
    }
  }
  read_status(given, query);
  return query;
}

// Entitlements are kept with their customer, by which they are listed, but do not tell it.
std::string as_told(std::string_view type, const std::string& text) {
  if (type != "entitlements.active_entitlement") return text;
  Json object = Json::parse(text);
  object.erase("customer");
  object.erase("created");
  return object.dump();
}

std::string list(Shop& shop, std::string_view type, const Call& call, const Json& parameters) {
  const Books::Query query = read_query(Parameters(parameters), type);
  const auto page = shop.books().list(query);
  if (!page)
    throw invalid("No such " + std::string(type) + ": '" + query.starting_after + query.ending_before + "'",
                  query.starting_after.empty() ? "ending_before" : "starting_after", "resource_missing");
  // The objects as they lie there: a page costs no parsing.
  std::string text = R"({"object":"list","url":)" + Json(call.path).dump() + R"(,"has_more":)" +
                     (page->has_more ? "true" : "false") + R"(,"data":[)";
  for (const std::string& object : page->objects) {
    if (text.back() != '[') text += ',';
    text += as_told(type, object);
  }
  text += "]}";
  const Json& paths = at(parameters, "expand");
  if (paths.is_null()) return text;
  Json answer = Json::parse(text);
  expand(shop, answer, paths);
  return answer.dump();
}

std::string one(Shop& shop, std::string_view type, const std::string& id, const Call& call) {
  auto object = shop.find(type, id);
  if (!object) throw no_such(type, id);
  Parameters(call.parameters).allow({});
  expand(shop, *object, at(call.parameters, "expand"));
  return object->dump();
}

std::string_view type_of(std::string_view id) {
  constexpr std::pair<std::string_view, std::string_view> kPrefixes[] = {
      {"sub_sched_", "subscription_schedule"},
      {"cus_", "customer"},
      {"sub_", "subscription"},
      {"in_", "invoice"},
      {"pi_", "payment_intent"},
      {"ch_", "charge"},
      {"price_", "price"},
      {"prod_", "product"},
      {"pm_", "payment_method"},
      {"re_", "refund"},
      {"cs_", "checkout.session"}};
  for (const auto& [prefix, type] : kPrefixes)
    if (id.starts_with(prefix)) return type;
  return "";
}

void expand_at(Shop& shop, Json& place, const std::vector<std::string>& steps, std::size_t step) {
  if (place.is_array()) {
    for (Json& element : place) expand_at(shop, element, steps, step);
    return;
  }
  if (place.is_string()) {
    const std::string id = place;
    if (auto found = shop.find(type_of(id), id)) place = *std::move(found);
  }
  if (step == steps.size() || !place.is_object()) return;
  const bool hidden = steps[step] == "line_items" && place.value("object", "") == "checkout.session";
  if (hidden) place["line_items"] = shop.note(place["id"])["line_items"];
  const auto member = place.find(steps[step]);
  if (member != place.end()) expand_at(shop, *member, steps, step + 1);
}

}  // namespace

void expand(Shop& shop, Json& answer, const Json& paths) {
  if (!paths.is_array()) return;
  for (const Json& path : paths)
    if (path.is_string()) expand_at(shop, answer, worker::split(path.get<std::string>(), '.'), 0);
}

std::optional<std::string> read_books(Shop& shop, const Call& call) {
  const std::string_view rest = std::string_view(call.path).substr(4);
  for (const stripe::Resource& resource : resources()) {
    if (!rest.starts_with(resource.path)) continue;
    const std::string id(rest.substr(resource.path.size()));
    if (id.empty()) return list(shop, resource.type, call, call.parameters);
    if (id.front() != '/' || id.size() < 2) continue;
    const std::size_t slash = id.find('/', 1);
    if (slash == std::string::npos) return one(shop, resource.type, id.substr(1), call);
    // customers/cus_1/payment_methods
    if (resource.type != "customer" || id.substr(slash) != "/payment_methods") continue;
    Json parameters = call.parameters;
    parameters["customer"] = id.substr(1, slash - 1);
    return list(shop, "payment_method", call, parameters);
  }
  return std::nullopt;
}

}  // namespace billing::simulation
