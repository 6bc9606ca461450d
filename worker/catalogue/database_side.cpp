#include "worker/catalogue/database_side.hpp"

#include <algorithm>

#include "core/fetch.hpp"
#include "worker/config.hpp"
#include "worker/stripe/client.hpp"

namespace billing::catalogue {

namespace asio = boost::asio;
using worker::Reply;

namespace {

constexpr auto kLimit = std::chrono::seconds(30);

void check(const Reply& reply, const char* what) {
  if (reply.ok()) return;
  if (reply.lost) throw worker::ConfigError(std::string(what) + ": the database went away", "try again");
  if (reply.error->sqlstate == "42501")
    throw worker::ConfigError(
        std::string(what) + ": " + reply.error->message,
        "plans are an operator's: set PG_BILLING_OPERATOR_DATABASE_URL to a role of kind admin");
  throw worker::ConfigError(std::string(what) + ": " + reply.error->message, reply.error->hint);
}

asio::awaitable<Json> stored_plan(worker::Store& store, const std::string& id) {
  std::vector<worker::Parameter> parameters;
  parameters.push_back(worker::plain_text(id));
  const Reply reply = co_await store.call("get_plan($1)", std::move(parameters), kLimit);
  check(reply, "get_plan");
  co_return Json::parse(reply.rows.at(0).at(0).value_or("null"));
}

// Old prices stay the plan's.
Plan with_prices(Plan wanted, const Plan& stored, const std::vector<PlanPrice>& replaced) {
  std::vector<PlanPrice> known = stored.prices;
  known.insert(known.end(), replaced.begin(), replaced.end());
  for (const PlanPrice& price : known) {
    const bool there = std::any_of(wanted.prices.begin(), wanted.prices.end(), [&](const PlanPrice& one) {
      return one.kind == price.kind && one.reference == price.reference;
    });
    if (!there) wanted.prices.push_back(price);
  }
  std::sort(wanted.prices.begin(), wanted.prices.end());
  return wanted;
}

void add_differences(const Json& stored, const Json& wanted, const std::string& where,
                     std::vector<std::string>& out) {
  std::vector<std::string> names;
  for (const Json* side : {&stored, &wanted})
    for (const auto& [name, value] : side->items())
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  for (const std::string& name : names) {
    const Json& before = at(stored, name.c_str());
    const Json& after = at(wanted, name.c_str());
    if (before == after) continue;
    if (before.is_object() && after.is_object())
      add_differences(before, after, where + name + ".", out);
    else
      out.push_back(where + name + ": " + to_text(before) + " -> " + to_text(after));
  }
}

}  // namespace

asio::awaitable<std::vector<PlanChange>> compare_with_database(worker::Store& store,
                                                               const Catalogue& catalogue,
                                                               const ShopPlan& shop) {
  std::vector<PlanChange> changes;
  for (const SoldPlan& sold : catalogue.plans) {
    const Json stored = co_await stored_plan(store, sold.plan.id);
    const auto replaced = shop.replaced.find(sold.plan.id);
    Plan before;
    if (stored.is_object()) before = parse_plan(stored);
    const Plan wanted = with_prices(
        sold.plan, before, replaced == shop.replaced.end() ? std::vector<PlanPrice>() : replaced->second);
    if (stored.is_object() && before == wanted) continue;
    PlanChange change{sold.plan.id, !stored.is_object(), {}, plan_json(wanted)};
    if (stored.is_object()) add_differences(plan_json(before), change.plan, "", change.details);
    changes.push_back(std::move(change));
  }
  co_return changes;
}

asio::awaitable<void> store_plan(worker::Store& store, const PlanChange& change, const std::string& reason) {
  std::vector<worker::Parameter> parameters;
  parameters.push_back(worker::json_text(to_text(change.plan)));
  parameters.push_back(worker::plain_text(reason));
  const Reply reply =
      co_await store.call("upsert_plan($1::pg_catalog.jsonb, $2)", std::move(parameters), kLimit);
  check(reply, "upsert_plan");
}

asio::awaitable<void> store_objects(worker::Store& store, const std::vector<Json>& objects, bool live) {
  std::vector<std::string> payloads;
  for (const Json& object : objects) {
    const Reply next = co_await store.call("next_stripe_fetch_id()", {}, kLimit);
    check(next, "next_stripe_fetch_id");
    Fetch fetch;
    fetch.id = next.rows.at(0).at(0).value_or("");
    // As it was made: whatever Stripe tells of it later wins.
    fetch.began =
        std::max(integer_of(object, "created").value_or(0), integer_of(object, "updated").value_or(0));
    fetch.api_version = stripe::kApiVersion;
    fetch.livemode = live;
    fetch.object = object;
    payloads.push_back(fetch_payload(fetch));
  }
  if (payloads.empty()) co_return;
  const std::vector<std::string_view> views(payloads.begin(), payloads.end());
  const std::vector<std::string_view> endpoints(payloads.size(), "");
  const Reply reply = co_await store.process(views, endpoints, kLimit);
  check(reply, "process_stripe_events");
}

}  // namespace billing::catalogue
