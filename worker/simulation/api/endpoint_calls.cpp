// Webhook endpoints. https://docs.stripe.com/api/webhook_endpoints
#include "worker/simulation/api/parameters.hpp"
#include "worker/simulation/api/routes.hpp"

namespace billing::simulation {
namespace {

void follow(Shop& shop, const Json& endpoint) {
  Target& target = shop.targets()[endpoint.at("id")];
  target.url = endpoint.at("url");
  target.enabled = endpoint.at("status") == "enabled";
  target.types.clear();
  for (const Json& type : endpoint.at("enabled_events")) target.types.insert(type.get<std::string>());
}

void fill(Json& endpoint, const Parameters& given) {
  if (given.has("url")) {
    const std::string url = given.required("url");
    if (!url.starts_with("http://") && !url.starts_with("https://"))
      throw invalid("Invalid URL: An explicit scheme (such as https) must be provided.", "url",
                    "url_invalid");
    endpoint["url"] = url;
  }
  if (given.has("enabled_events")) {
    const std::vector<std::string> types = given.texts("enabled_events");
    if (types.empty()) throw invalid("Invalid array", "enabled_events");
    for (const std::string& type : types)
      if (type != "*" && type.find('.') == std::string::npos)
        throw invalid("Invalid enabled_events: unknown event " + type, "enabled_events");
    endpoint["enabled_events"] = types;
  }
  if (const auto disabled = given.flag("disabled")) endpoint["status"] = *disabled ? "disabled" : "enabled";
  given.copy(endpoint, {"description"});
  given.merge_metadata(endpoint);
}

Json create(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"api_version", "connect", "description", "enabled_events", "metadata", "url"});
  static_cast<void>(given.required("url"));
  if (!given.has("enabled_events"))
    throw invalid("Missing required param: enabled_events.", "enabled_events", "parameter_missing");
  Json endpoint = {{"id", shop.make_id("we_")},
                   {"object", "webhook_endpoint"},
                   {"api_version", or_null(given.text("api_version"))},
                   {"application", nullptr},
                   {"created", shop.now()},
                   {"description", nullptr},
                   {"enabled_events", Json::array()},
                   {"livemode", shop.shape().livemode},
                   {"metadata", Json::object()},
                   {"status", "enabled"}};
  fill(endpoint, given);
  shop.keep(endpoint);
  follow(shop, endpoint);
  // Told once, here; kept apart from the object.
  endpoint["secret"] = shop.targets()[endpoint["id"]].secret =
      "whsec_" + shop.make_id("") + shop.make_id("").substr(0, 8);
  return endpoint;
}

Json update(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"description", "disabled", "enabled_events", "metadata", "url"});
  Json endpoint = shop.get("webhook_endpoint", call.id());
  fill(endpoint, given);
  shop.keep(endpoint);
  follow(shop, endpoint);
  return endpoint;
}

Json remove(Shop& shop, const Call& call) {
  const Json endpoint = shop.get("webhook_endpoint", call.id());
  shop.remove(endpoint);
  shop.targets().erase(call.id());
  shop.journal().forget(call.id());
  return {{"id", call.id()}, {"object", "webhook_endpoint"}, {"deleted", true}};
}

constexpr Route kRoutes[] = {{"POST", "webhook_endpoints", create},
                             {"POST", "webhook_endpoints/*", update},
                             {"DELETE", "webhook_endpoints/*", remove}};

}  // namespace

std::span<const Route> endpoint_routes() { return kRoutes; }

}  // namespace billing::simulation
