// The customer portal: configurations and sessions. https://docs.stripe.com/api/customer_portal
#include "worker/simulation/api/parameters.hpp"
#include "worker/simulation/api/routes.hpp"
#include "worker/simulation/api/subscribing.hpp"

namespace billing::simulation {
namespace {

constexpr const char* kConfiguration = "billing_portal.configuration";

Json new_configuration(Shop& shop) {
  return {{"id", shop.make_id("bpc_")},
          {"object", kConfiguration},
          {"active", true},
          {"application", nullptr},
          {"business_profile",
           {{"headline", nullptr}, {"privacy_policy_url", nullptr}, {"terms_of_service_url", nullptr}}},
          {"created", shop.now()},
          {"default_return_url", nullptr},
          {"features",
           {{"customer_update", {{"allowed_updates", Json::array()}, {"enabled", false}}},
            {"invoice_history", {{"enabled", true}}},
            {"payment_method_update", {{"enabled", true}}},
            {"subscription_cancel",
             {{"enabled", true}, {"mode", "at_period_end"}, {"proration_behavior", "none"}}},
            {"subscription_update",
             {{"default_allowed_updates", Json::array()},
              {"enabled", false},
              {"products", Json::array()},
              {"proration_behavior", "none"}}}}},
          {"is_default", false},
          {"livemode", shop.shape().livemode},
          {"login_page", {{"enabled", false}, {"url", nullptr}}},
          {"metadata", Json::object()},
          {"name", nullptr},
          {"updated", shop.now()}};
}

void fill(Shop& shop, Json& configuration, const Parameters& given) {
  given.copy(configuration, {"default_return_url", "name"});
  if (const auto active = given.flag("active")) configuration["active"] = *active;
  if (given.has("business_profile"))
    configuration["business_profile"].update(with_types(given.object("business_profile").values()));
  const Json features = with_types(given.object("features").values());
  for (const auto& [name, feature] : features.items()) {
    if (!configuration["features"].contains(name) || !feature.is_object())
      throw invalid("Received unknown parameter: features[" + name + "]", "features[" + name + "]",
                    "parameter_unknown");
    configuration["features"][name].update(feature);
  }
  given.merge_metadata(configuration);
  configuration["updated"] = shop.now();
}

Json create_configuration(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"business_profile", "default_return_url", "features", "login_page", "metadata", "name"});
  if (!given.has("features"))
    throw invalid("Missing required param: features.", "features", "parameter_missing");
  Json configuration = new_configuration(shop);
  // What is not asked for is off.
  for (auto& [name, feature] : configuration["features"].items()) feature["enabled"] = false;
  fill(shop, configuration, given);
  shop.tell("billing_portal.configuration.created", configuration);
  return configuration;
}

Json update_configuration(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow(
      {"active", "business_profile", "default_return_url", "features", "login_page", "metadata", "name"});
  Json configuration = shop.get(kConfiguration, call.id());
  shop.change("billing_portal.configuration.updated", configuration,
              [&](Json& changed) { fill(shop, changed, given); });
  return configuration;
}

Json configuration_for(Shop& shop, const std::string& id) {
  if (!id.empty()) return shop.get_named(kConfiguration, id, "configuration");
  for (const Json& configuration : shop.all(kConfiguration, "", ""))
    if (flag_of(configuration, "is_default") && flag_of(configuration, "active")) return configuration;
  throw invalid(
      "No configuration provided and your test mode default configuration has not been created. Provide a "
      "configuration or create your default by saving your customer portal settings in test mode at "
      "https://dashboard.stripe.com/test/settings/billing/portal.");
}

Json create_session(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"configuration", "customer", "flow_data", "locale", "return_url"});
  const Json customer = shop.get_named("customer", given.required("customer"), "customer");
  const Json configuration = configuration_for(shop, given.text("configuration"));
  const std::string id = shop.make_id("bps_");
  const Json session = {{"id", id},
                        {"object", "billing_portal.session"},
                        {"configuration", configuration["id"]},
                        {"created", shop.now()},
                        {"customer", customer["id"]},
                        {"flow", nullptr},
                        {"livemode", shop.shape().livemode},
                        {"locale", or_null(given.text("locale"))},
                        {"on_behalf_of", nullptr},
                        {"return_url", or_null(given.text("return_url"))},
                        {"url", shop.url() + "/p/session/" + id}};
  shop.keep(session);
  shop.tell("billing_portal.session.created", session);
  return session;
}

constexpr Route kRoutes[] = {{"POST", "billing_portal/configurations", create_configuration},
                             {"POST", "billing_portal/configurations/*", update_configuration},
                             {"POST", "billing_portal/sessions", create_session}};

}  // namespace

std::span<const Route> portal_routes() { return kRoutes; }

void furnish(Shop& shop) {
  Json configuration = new_configuration(shop);
  configuration["is_default"] = true;
  shop.keep(configuration);
  shop.before_travel([&shop] {
    for (const char* status : {"active", "trialing", "past_due", "paused", "incomplete"})
      for (const Json& subscription : shop.all("subscription", "status", status))
        if (shop.note(subscription.at("id"))["cycle"].is_null()) plan_period(shop, subscription);
  });
}

}  // namespace billing::simulation
