// Subscription schedules. https://docs.stripe.com/api/subscription_schedules
#include "worker/simulation/api/item_change.hpp"
#include "worker/simulation/api/routes.hpp"

namespace billing::simulation {
namespace {

Json phase_item(const std::string& price, std::int64_t quantity) {
  return {{"billing_thresholds", nullptr},
          {"discounts", Json::array()},
          {"metadata", Json::object()},
          {"plan", price},
          {"price", price},
          {"quantity", quantity},
          {"tax_rates", Json::array()}};
}

Json phase_json(Json items, Period period, const std::string& currency) {
  return {{"add_invoice_items", Json::array()},
          {"application_fee_percent", nullptr},
          {"billing_cycle_anchor", nullptr},
          {"collection_method", nullptr},
          {"currency", currency},
          {"default_tax_rates", Json::array()},
          {"description", nullptr},
          {"discounts", Json::array()},
          {"end_date", period.end},
          {"invoice_settings", nullptr},
          {"items", std::move(items)},
          {"metadata", Json::object()},
          {"proration_behavior", "create_prorations"},
          {"start_date", period.start},
          {"transfer_data", nullptr},
          {"trial_end", nullptr}};
}

Json create(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"from_subscription", "metadata"});
  Json subscription =
      shop.get_named("subscription", given.required("from_subscription"), "from_subscription");
  if (!is_live(subscription))
    throw invalid("You cannot migrate a subscription that is already canceled.", "from_subscription");
  if (!id_of(subscription, "schedule").empty())
    throw invalid("You cannot migrate a subscription that is already attached to a schedule: `" +
                      id_of(subscription, "schedule") + "`.",
                  "from_subscription");
  const Period period = period_of(subscription);
  Json items = Json::array();
  for (const Json& item : list_of(subscription, "items"))
    items.push_back(phase_item(id_of(item, "price"), item.value("quantity", 1)));
  Price placeholder;
  Schedule made;
  made.id = shop.make_id("sub_sched_");
  made.customer = id_of(subscription, "customer");
  made.subscription = subscription.at("id");
  made.created = shop.now();
  made.phases.push_back({&placeholder, 1, period});
  Json schedule = to_json(made, shop.shape());
  schedule["phases"] = Json::array({phase_json(std::move(items), period, subscription.at("currency"))});
  given.merge_metadata(schedule);
  shop.tell("subscription_schedule.created", schedule);
  shop.change("customer.subscription.updated", subscription,
              [&](Json& changed) { changed["schedule"] = made.id; });
  return schedule;
}

// Where a phase ends: at a date, or after so many of its price's periods.
Seconds end_of(Shop& shop, const Parameters& given, Seconds start, const Json& items, std::size_t number) {
  if (given.has("end_date")) {
    const Seconds end = given.integer("end_date", 1).value_or(0);
    if (end <= start)
      throw invalid("The phase end date must be after its start date.", given.name_of("end_date"));
    return end;
  }
  const Parameters duration = given.object("duration");
  if (given.has("duration")) {
    const Json length = {{"interval", duration.required("interval")},
                         {"interval_count", duration.integer("interval_count", 1).value_or(1)}};
    return period_end(start, length, start);
  }
  const std::int64_t iterations = given.integer("iterations", 1).value_or(number == 0 ? 0 : 1);
  if (iterations == 0)
    throw invalid("The first phase must have an end date, a duration or iterations.",
                  given.name_of("end_date"));
  const Json price = shop.get("price", id_of(items.at(0), "price"));
  Seconds end = start;
  for (std::int64_t i = 0; i < iterations; ++i) end = period_end(start, recurring_of(price), end);
  return end;
}

Json update(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"end_behavior", "metadata", "phases", "proration_behavior"});
  Json schedule = shop.get("subscription_schedule", call.id());
  if (schedule["status"] != "active")
    throw invalid("You cannot update a subscription schedule that is currently in the `" +
                  schedule["status"].get<std::string>() + "` status.");
  Json phases = Json::array();
  Seconds start = schedule.at("phases").at(0).at("start_date");
  for (const Parameters& phase : given.elements("phases")) {
    phase.allow({"duration", "end_date", "items", "iterations", "metadata", "proration_behavior",
                 "start_date", "billing_cycle_anchor", "trial_end"});
    Json items = Json::array();
    for (const Order& order : read_orders(shop, phase))
      items.push_back(phase_item(order.price.at("id"), order.quantity));
    if (items.empty())
      throw invalid("Missing required param: " + phase.name_of("items") + ".", phase.name_of("items"),
                    "parameter_missing");
    if (const auto from = phase.integer("start_date", 1)) start = *from;
    const Seconds end = end_of(shop, phase, start, items, phases.size());
    Json made = phase_json(std::move(items), {start, end}, schedule.at("phases").at(0).at("currency"));
    phase.merge_metadata(made);
    const std::string proration = phase.text("proration_behavior");
    if (!proration.empty()) made["proration_behavior"] = proration;
    phases.push_back(std::move(made));
    start = end;
  }
  const std::string end_behavior = given.one_of("end_behavior", {"cancel", "release"});
  shop.change("subscription_schedule.updated", schedule, [&](Json& changed) {
    given.merge_metadata(changed);
    if (!end_behavior.empty()) changed["end_behavior"] = end_behavior;
    if (phases.empty()) return;
    changed["phases"] = phases;
    changed["current_phase"] = {{"end_date", phases.at(0).at("end_date")},
                                {"start_date", phases.at(0).at("start_date")}};
  });
  return schedule;
}

Json finish(Shop& shop, const Call& call, const std::string& status) {
  Json schedule = shop.get("subscription_schedule", call.id());
  if (schedule["status"] != "active")
    throw invalid("You cannot change a subscription schedule that is currently in the `" +
                  schedule["status"].get<std::string>() + "` status.");
  Json subscription = shop.get("subscription", id_of(schedule, "subscription"));
  schedule["status"] = status;
  schedule[status + "_at"] = shop.now();
  schedule["current_phase"] = nullptr;
  if (status == "released") {
    schedule["released_subscription"] = schedule["subscription"];
    schedule["subscription"] = nullptr;
    shop.change("customer.subscription.updated", subscription,
                [](Json& changed) { changed["schedule"] = nullptr; });
  }
  shop.tell("subscription_schedule." + status, schedule);
  return schedule;
}

Json release(Shop& shop, const Call& call) { return finish(shop, call, "released"); }

Json cancel(Shop& shop, const Call& call) {
  const Json schedule = finish(shop, call, "canceled");
  const Json subscription = shop.get("subscription", id_of(schedule, "subscription"));
  if (is_live(subscription)) end_subscription(shop, subscription, "cancellation_requested");
  return schedule;
}

constexpr Route kRoutes[] = {{"POST", "subscription_schedules", create},
                             {"POST", "subscription_schedules/*", update},
                             {"POST", "subscription_schedules/*/cancel", cancel},
                             {"POST", "subscription_schedules/*/release", release}};

}  // namespace

std::span<const Route> schedule_routes() { return kRoutes; }

}  // namespace billing::simulation
