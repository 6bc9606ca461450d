// The account itself, its events, and subscription items. https://docs.stripe.com/api/accounts
#include "worker/simulation/api/parameters.hpp"
#include "worker/simulation/api/routes.hpp"

namespace billing::simulation {
namespace {

Json own(Shop& shop, const Call&) { return shop.account; }

Json named(Shop& shop, const Call& call) {
  if (shop.account.at("id") == call.id()) return shop.account;
  throw CallError(403, "invalid_request_error", "account_invalid",
                  "The provided key does not have access to account '" + call.id() + "'");
}

Json event(Shop& shop, const Call& call) {
  const auto found = shop.journal().find(call.id());
  if (!found) throw no_such("event", call.id());
  return Json::parse(*found);
}

Json events(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"created", "delivery_success", "ending_before", "limit", "starting_after", "type", "types"});
  Journal::Query query;
  query.types = given.texts("types");
  if (given.has("type")) query.types.push_back(given.text("type"));
  if (given.has("type") && given.has("types"))
    throw invalid("You may only specify one of these parameters: type, types.", "types");
  query.delivery_success = given.flag("delivery_success");
  query.limit = static_cast<std::size_t>(given.integer("limit", 1).value_or(10));
  if (query.limit > 100)
    throw invalid("Invalid integer: " + std::to_string(query.limit), "limit", "parameter_invalid_integer");
  query.starting_after = given.text("starting_after");
  query.ending_before = given.text("ending_before");
  const Parameters created = given.object("created");
  created.allow({"gt", "gte", "lt", "lte"});
  if (const auto bound = created.integer("gte")) query.from = *bound;
  if (const auto bound = created.integer("gt")) query.from = *bound + 1;
  if (const auto bound = created.integer("lt")) query.until = *bound;
  if (const auto bound = created.integer("lte")) query.until = *bound + 1;
  const auto page = shop.journal().list(query);
  if (!page) throw no_such("event", query.starting_after + query.ending_before, "starting_after", 400);
  Json data = Json::array();
  for (const std::string& text : page->objects) data.push_back(Json::parse(text));
  return {{"object", "list"}, {"url", "/v1/events"}, {"has_more", page->has_more}, {"data", std::move(data)}};
}

Json subscription_items(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"ending_before", "limit", "starting_after", "subscription"});
  const Json subscription = shop.get_named("subscription", given.required("subscription"), "subscription");
  const std::string after = given.text("starting_after");
  const std::size_t limit = static_cast<std::size_t>(given.integer("limit", 1).value_or(10));
  Json data = Json::array();
  bool begun = after.empty();
  bool more = false;
  for (const Json& item : list_of(subscription, "items")) {
    if (begun && data.size() == limit) more = true;
    if (begun && !more) data.push_back(item);
    begun = begun || item.at("id") == after;
  }
  return {{"object", "list"}, {"url", call.path}, {"has_more", more}, {"data", std::move(data)}};
}

constexpr Route kRoutes[] = {{"GET", "account", own},
                             {"GET", "accounts/*", named},
                             {"GET", "events", events},
                             {"GET", "events/*", event},
                             {"GET", "subscription_items", subscription_items}};

}  // namespace

std::span<const Route> account_routes() { return kRoutes; }

}  // namespace billing::simulation
