// What is wrong with the webhook endpoint, from Stripe's side and from the worker's.
#include <algorithm>

#include "worker/doctor/check.hpp"
#include "worker/doctor/needed_events.hpp"

namespace billing::doctor {
namespace {

Finding no_endpoint() { return unknown("there is no endpoint to look at"); }

const Json* endpoint_of(const Facts& facts) {
  if (!facts.knows_stripe() || facts.url.empty()) return nullptr;
  const auto found = std::find_if(facts.endpoints.begin(), facts.endpoints.end(), [&](const Json& endpoint) {
    return text_of(endpoint, "url") == facts.url;
  });
  return found == facts.endpoints.end() ? nullptr : &*found;
}

}  // namespace

Finding judge_endpoint(const Facts& facts) {
  if (facts.settings_problem) return unknown("the settings cannot be used");
  if (facts.url.empty())
    return {Verdict::failed, "PG_BILLING_WEBHOOK_URL is not set",
            "nobody can say which endpoint at Stripe is this worker's",
            "set it to the public address of the webhook path: https://your.host/stripe/webhook"};
  if (!facts.knows_stripe()) return unknown("Stripe cannot be asked");
  const Json* endpoint = endpoint_of(facts);
  if (endpoint == nullptr)
    return {Verdict::failed, "Stripe has no endpoint for " + facts.url,
            "it was never registered, or in another account or mode", "pg_billing webhook register"};
  if (text_of(*endpoint, "status") != "enabled")
    return {Verdict::failed, "the endpoint " + id_of(*endpoint, "id") + " is disabled",
            "somebody switched it off, or Stripe did after days of failures", "pg_billing webhook enable"};
  return {Verdict::ok, id_of(*endpoint, "id") + " is registered and enabled", "", ""};
}

Finding judge_endpoint_events(const Facts& facts) {
  const Json* endpoint = endpoint_of(facts);
  if (endpoint == nullptr) return no_endpoint();
  std::string list;
  for (const NeededEvent& missing : missing_events(at(*endpoint, "enabled_events")))
    list.append(list.empty() ? "" : "; ")
        .append(missing.type)
        .append(" (")
        .append(missing.without)
        .append(")");
  if (list.empty()) return {Verdict::ok, "it gets all that is needed", "", ""};
  return {Verdict::failed, "the endpoint does not get " + list, "its list of events was chosen by hand",
          "pg_billing webhook register"};
}

Finding judge_endpoint_version(const Facts& facts) {
  const Json* endpoint = endpoint_of(facts);
  if (endpoint == nullptr) return no_endpoint();
  const std::string version = text_of(*endpoint, "api_version").value_or("");
  if (version == stripe::kApiVersion) return {Verdict::ok, "it gets events of " + version, "", ""};
  const std::string shown = version.empty() ? "the account's default version" : version;
  return {Verdict::failed, "the endpoint gets events of " + shown + ", not of " + stripe::kApiVersion,
          "the version of an endpoint is fixed when it is made", "pg_billing webhook rotate"};
}

Finding judge_endpoint_single(const Facts& facts) {
  const Json* endpoint = endpoint_of(facts);
  if (endpoint == nullptr) return no_endpoint();
  std::string twice, others;
  for (const Json& other : facts.endpoints) {
    if (id_of(other, "id") == id_of(*endpoint, "id") || text_of(other, "status") != "enabled") continue;
    const bool same = text_of(other, "url") == facts.url;
    const Json& types = at(other, "enabled_events");
    const bool grants = std::any_of(types.begin(), types.end(), [](const Json& type) {
      return type == "*" || type == "invoice.paid" || type == "invoice.payment_succeeded" ||
             type == "checkout.session.completed";
    });
    std::string& list = same ? twice : others;
    if (same || grants)
      list += (list.empty() ? "" : ", ") + id_of(other, "id") + " " + text_of(other, "url").value_or("");
  }
  if (!twice.empty())
    return {Verdict::failed, "the same address is registered twice: " + twice,
            "every event comes twice, under two secrets",
            "pg_billing webhook rotate --finish, or delete one in the Dashboard"};
  if (!others.empty())
    return {Verdict::warning, "other endpoints get payments too: " + others,
            "if one of them grants as well, everybody is granted twice",
            "disable the old one in the Dashboard once this worker has taken over"};
  return {Verdict::ok, "no other endpoint gets payments", "", ""};
}

Finding judge_webhook_secret(const Facts& facts) {
  if (facts.url.empty() || !facts.self_test) return no_endpoint();
  const std::string& reason = *facts.self_test;
  if (reason == "nul_byte") return {Verdict::ok, "a signed request got through to the worker", "", ""};
  if (reason == "mismatch")
    return {Verdict::failed, "the worker at " + facts.url + " does not know the secret",
            "the settings here and there differ, or it did not read them again",
            "put the same STRIPE_WEBHOOK_SECRET into both, and send the worker SIGHUP"};
  return {Verdict::failed, "a signed request to " + facts.url + " came back with: " + reason,
          "no worker answers there, or a proxy changes what passes through it",
          "curl -i " + facts.url + " -- from outside; then look at the proxy and PG_BILLING_WEBHOOK_PATHS"};
}

}  // namespace billing::doctor
