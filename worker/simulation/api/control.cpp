#include "worker/simulation/api/control.hpp"

#include "worker/simulation/api/parameters.hpp"

namespace billing::simulation {
namespace {

// deliver=true|false; resend=true sends what was not acknowledged.
Json webhooks(Shop& shop, const Parameters& given) {
  given.allow({"deliver", "resend"});
  if (const auto deliver = given.flag("deliver")) shop.set_delivering(*deliver);
  const bool resend = given.flag("resend").value_or(false);
  return {{"deliver", shop.delivering()}, {"sent_again", resend ? shop.send_again() : 0}};
}

// seconds=N goes on so far, to=T to a time; what falls due meanwhile happens.
Json clock(Shop& shop, const Parameters& given) {
  given.allow({"seconds", "to"});
  const Seconds now = shop.now();
  const Seconds to = given.integer("to", 1).value_or(now + given.integer("seconds").value_or(0));
  if (to < now) throw invalid("The clock does not go back.", "to");
  shop.travel(to);
  return {{"now", shop.now()}};
}

Json plan_faults(Faults& faults, const Parameters& given) {
  given.allow({"clear", "kind", "method", "path", "seconds", "share", "times"});
  if (given.flag("clear").value_or(false)) faults.clear();
  if (const auto percent = given.integer("share")) faults.set_share(static_cast<double>(*percent) / 100);
  if (given.has("kind")) {
    const auto kind = fault_named(given.text("kind"));
    if (!kind) throw invalid("kind is rate_limit, error, broken, lost or slow", "kind");
    faults.plan({{*kind, static_cast<int>(given.integer("seconds").value_or(1))},
                 static_cast<int>(given.integer("times", 1).value_or(1)),
                 given.text("method"),
                 given.text("path")});
  }
  return {{"planned", true}};
}

// customer=cus_... (or * for everybody's), decline=true|false.
Json cards(Shop& shop, const Parameters& given) {
  given.allow({"customer", "decline"});
  const std::string customer = given.text("customer", "*");
  if (given.flag("decline").value_or(true))
    shop.declining.insert(customer);
  else
    shop.declining.erase(customer);
  return {{"customer", customer}, {"decline", shop.declining.count(customer) > 0}};
}

Json account(Shop& shop, const Parameters& given) {
  given.allow({"charges_enabled", "details_submitted", "disabled_reason", "payouts_enabled"});
  for (const char* name : {"charges_enabled", "details_submitted", "payouts_enabled"})
    if (const auto value = given.flag(name)) shop.account[name] = *value;
  if (given.has("disabled_reason"))
    shop.account["requirements"]["disabled_reason"] = or_null(given.text("disabled_reason"));
  return shop.account;
}

// customer, lookup_keys[]: all that the customer is entitled to from now on.
Json entitlements(Shop& shop, const Parameters& given) {
  given.allow({"customer", "lookup_keys"});
  constexpr const char* kType = "entitlements.active_entitlement";
  const std::string customer = shop.get_named("customer", given.required("customer"), "customer").at("id");
  for (const Json& old : shop.all(kType, "customer", customer)) shop.remove(old);
  Json data = Json::array();
  const std::vector<std::string> keys = given.texts("lookup_keys");
  for (const std::string& key : keys) {
    Json entitlement = {{"id", shop.make_id("ent_")},
                        {"object", kType},
                        {"feature", "feat_" + key},
                        {"livemode", shop.shape().livemode},
                        {"lookup_key", key}};
    if (data.size() < 10) data.push_back(entitlement);
    // Kept with what lists are narrowed down by; it is no part of the object.
    entitlement["customer"] = customer;
    entitlement["created"] = shop.now();
    shop.keep(entitlement);
  }
  Json list = list_json(std::move(data), "/v1/entitlements/active_entitlements?customer=" + customer);
  list["has_more"] = keys.size() > 10;
  list["total_count"] = keys.size();
  shop.tell("entitlements.active_entitlement_summary.updated",
            {{"object", "entitlements.active_entitlement_summary"},
             {"customer", customer},
             {"entitlements", std::move(list)},
             {"livemode", shop.shape().livemode}});
  return {{"customer", customer}, {"lookup_keys", keys}};
}

Json state(Shop& shop) {
  std::size_t count = 0;
  for (const auto& undelivered : shop.journal().undelivered()) count += undelivered.endpoints.size();
  return {{"now", shop.now()}, {"deliver", shop.delivering()}, {"undelivered", count}};
}

}  // namespace

ApiAnswer answer_control(Shop& shop, Faults& faults, const ApiRequest& request) {
  try {
    const std::string path = request.target.substr(0, request.target.find('?'));
    const std::string what = path.substr(std::min(kControl.size() + 1, path.size()));
    const Json form = parse_form(request.body);
    const Parameters given(form);
    const auto answer = [](const Json& body) {
      ApiAnswer ok;
      ok.body = body.dump(2);
      return ok;
    };
    if (request.method == "GET" && what.empty()) return answer(state(shop));
    if (request.method == "POST") {
      if (what == "webhooks") return answer(webhooks(shop, given));
      if (what == "clock") return answer(clock(shop, given));
      if (what == "faults") return answer(plan_faults(faults, given));
      if (what == "cards") return answer(cards(shop, given));
      if (what == "account") return answer(account(shop, given));
      if (what == "entitlements") return answer(entitlements(shop, given));
    }
    throw CallError(404, "invalid_request_error", "", "There is nothing to steer at " + path + ".");
  } catch (const CallError& error) {
    return error.answer();
  }
}

}  // namespace billing::simulation
