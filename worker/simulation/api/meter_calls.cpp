// Meters of usage and what they are told. https://docs.stripe.com/api/billing/meter
#include <charconv>

#include "worker/simulation/api/parameters.hpp"
#include "worker/simulation/api/routes.hpp"
#include "worker/simulation/calendar.hpp"

namespace billing::simulation {
namespace {

constexpr const char* kMeter = "billing.meter";

Json create(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"customer_mapping", "default_aggregation", "display_name", "event_name", "event_time_window",
               "value_settings"});
  const std::string name = given.required("event_name");
  for (const Json& other : shop.all(kMeter, "event_name", name))
    if (other["status"] == "active")
      throw invalid("There is already an active meter with event_name " + name, "event_name");
  const std::string formula = given.object("default_aggregation").one_of("formula", {"count", "last", "sum"});
  if (formula.empty()) static_cast<void>(given.object("default_aggregation").required("formula"));
  const Json meter = {
      {"id", shop.make_id("mtr_test_")},
      {"object", kMeter},
      {"created", shop.now()},
      {"customer_mapping",
       {{"event_payload_key",
         given.object("customer_mapping").text("event_payload_key", "stripe_customer_id")},
        {"type", "by_id"}}},
      {"default_aggregation", {{"formula", formula}}},
      {"display_name", given.required("display_name")},
      {"event_name", name},
      {"event_time_window", or_null(given.text("event_time_window"))},
      {"livemode", shop.shape().livemode},
      {"status", "active"},
      {"status_transitions", {{"deactivated_at", nullptr}}},
      {"updated", shop.now()},
      {"value_settings",
       {{"event_payload_key", given.object("value_settings").text("event_payload_key", "value")}}}};
  shop.tell("billing.meter.created", meter);
  return meter;
}

Json update(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"display_name"});
  Json meter = shop.get(kMeter, call.id());
  shop.change("billing.meter.updated", meter, [&](Json& changed) { given.copy(changed, {"display_name"}); });
  return meter;
}

Json set_status(Shop& shop, const Call& call, const char* status) {
  Json meter = shop.get(kMeter, call.id());
  const bool active = std::string_view(status) == "active";
  shop.change(active ? "billing.meter.reactivated" : "billing.meter.deactivated", meter, [&](Json& changed) {
    changed["status"] = status;
    changed["status_transitions"]["deactivated_at"] = active ? Json(nullptr) : Json(shop.now());
  });
  return meter;
}

Json deactivate(Shop& shop, const Call& call) { return set_status(shop, call, "inactive"); }
Json reactivate(Shop& shop, const Call& call) { return set_status(shop, call, "active"); }

double number_of(const std::string& text, const std::string& param) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size())
    throw invalid("Invalid value for " + param + ": " + text, param, "invalid_meter_event_value");
  return number;
}

Json report(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"event_name", "identifier", "payload", "timestamp"});
  const std::string name = given.required("event_name");
  Json meter;
  for (const Json& known : shop.all(kMeter, "event_name", name))
    if (known["status"] == "active") meter = known;
  if (meter.is_null())
    throw invalid("No active meter found for event name: " + name, "event_name", "no_meter");
  const Parameters payload = given.object("payload");
  const std::string by = at(meter, "customer_mapping").at("event_payload_key");
  const std::string value = at(meter, "value_settings").at("event_payload_key");
  shop.get_named("customer", payload.required(by.c_str()), payload.name_of(by));
  const double amount = number_of(payload.required(value.c_str()), payload.name_of(value));
  const Seconds when = given.integer("timestamp", 1).value_or(shop.now());
  if (when < shop.now() - 35 * kDay)
    throw invalid("The timestamp is too far in the past: it must be within the past 35 calendar days.",
                  "timestamp", "timestamp_too_far_in_past");
  if (when > shop.now() + 300)
    throw invalid("The timestamp is too far in the future: it must be at most 5 minutes ahead.", "timestamp",
                  "timestamp_in_future");
  const std::string identifier = given.text("identifier", shop.make_id(""));
  Json& told = shop.note("meter identifiers")[identifier];
  if (told.is_number() && told.get<Seconds>() > shop.now() - kDay)
    throw invalid("An event already exists with identifier " + identifier + ".", "identifier",
                  "duplicate_meter_event");
  told = shop.now();
  shop.note(meter["id"])["events"].push_back({payload.text(by.c_str()), when, amount});
  return {{"object", "billing.meter_event"},
          {"created", shop.now()},
          {"event_name", name},
          {"identifier", identifier},
          {"livemode", shop.shape().livemode},
          {"payload", payload.values()},
          {"timestamp", when}};
}

// What one customer has used between two times.
Json summaries(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"customer", "end_time", "limit", "start_time"});
  const Json meter = shop.get(kMeter, call.id());
  const std::string customer = given.required("customer");
  static_cast<void>(given.required("start_time"));
  static_cast<void>(given.required("end_time"));
  const Seconds start = given.integer("start_time").value_or(0), end = given.integer("end_time").value_or(0);
  const std::string formula = meter.at("default_aggregation").at("formula");
  double total = 0;
  for (const Json& used : shop.note(call.id())["events"]) {
    const Seconds when = used.at(1);
    if (used.at(0) != customer || when < start || when >= end) continue;
    const double amount = used.at(2);
    total = formula == "last" ? amount : total + (formula == "count" ? 1 : amount);
  }
  Json data = Json::array();
  data.push_back({{"id", shop.make_id("mtrusg_test_")},
                  {"object", "billing.meter_event_summary"},
                  {"aggregated_value", total},
                  {"end_time", end},
                  {"livemode", shop.shape().livemode},
                  {"meter", call.id()},
                  {"start_time", start}});
  return {{"object", "list"}, {"url", call.path}, {"has_more", false}, {"data", std::move(data)}};
}

constexpr Route kRoutes[] = {{"POST", "billing/meters", create},
                             {"POST", "billing/meters/*", update},
                             {"POST", "billing/meters/*/deactivate", deactivate},
                             {"POST", "billing/meters/*/reactivate", reactivate},
                             {"GET", "billing/meters/*/event_summaries", summaries},
                             {"POST", "billing/meter_events", report}};

}  // namespace

std::span<const Route> meter_routes() { return kRoutes; }

}  // namespace billing::simulation
