// What is wrong at Stripe: key, account, clocks, plans, portal.
#include <algorithm>
#include <cstdlib>

#include "worker/doctor/check.hpp"

namespace billing::doctor {
namespace {

constexpr Seconds kTolerated = 60;

Finding no_stripe() { return unknown("Stripe cannot be asked"); }

bool is_of_plan(const Json& price, const Json& plans) {
  const Json& metadata = at(price, "metadata");
  if (metadata.contains("plan")) return true;
  for (const Json& plan : plans) {
    for (const Json& reference : list_of(plan, "prices")) {
      const std::string kind = reference.at("kind"), value = reference.at("reference");
      const std::string has = kind == "price"        ? id_of(price, "id")
                              : kind == "lookup_key" ? text_of(price, "lookup_key").value_or("")
                                                     : id_of(price, "product");
      if (has == value) return true;
    }
  }
  return false;
}

// Whether some price or product of the plan says what it grants.
bool grants_by_metadata(const Facts& facts, const Json& plan) {
  for (const Json& reference : list_of(plan, "prices")) {
    const auto found = facts.references.find(reference.at("kind").get<std::string>() + ":" +
                                             reference.at("reference").get<std::string>());
    if (found != facts.references.end() && at(found->second, "metadata").contains("credits")) return true;
  }
  return false;
}

}  // namespace

Finding judge_key(const Facts& facts) {
  if (facts.settings_problem) return unknown("the settings cannot be used");
  if (!facts.has_key)
    return {Verdict::failed, "STRIPE_SECRET_KEY is not set",
            "nothing that needs Stripe's API works: doubt is not settled, requests are not performed",
            "set STRIPE_SECRET_KEY to the account's sk_... or rk_..."};
  if (!facts.stripe_problem) return {Verdict::ok, "Stripe takes it", "", ""};
  const stripe::ApiError& error = *facts.stripe_problem;
  const bool refused = error.type != "connection_error";
  return {Verdict::failed, "Stripe answers: " + error.message,
          refused ? "the key was revoked, is of another account, or lacks a permission"
                  : "this machine does not reach Stripe",
          refused ? "make a key in the Dashboard under Developers, API keys, and set STRIPE_SECRET_KEY"
                  : "look at the network, the proxy and STRIPE_API_BASE"};
}

Finding judge_account(const Facts& facts) {
  if (!facts.knows_stripe()) return no_stripe();
  const std::string id = text_of(facts.account, "id").value_or("the account");
  if (flag_of(facts.account, "charges_enabled")) return {Verdict::ok, id + " can charge", "", ""};
  const std::string reason =
      text_of(at(facts.account, "requirements"), "disabled_reason").value_or("no reason given");
  return {Verdict::failed, id + " cannot charge: " + reason,
          flag_of(facts.account, "details_submitted") ? "Stripe has disabled it"
                                                      : "its details were not submitted",
          "complete the account at https://dashboard.stripe.com/account/onboarding"};
}

Finding judge_clock(const Facts& facts) {
  if (!facts.knows_stripe() || !facts.ahead) return no_stripe();
  const Seconds here = *facts.ahead;
  const Seconds database = here + facts.database_ahead.value_or(0);
  const Seconds worst = std::abs(here) > std::abs(database) ? here : database;
  if (std::abs(worst) <= kTolerated) return {Verdict::ok, "clocks agree within a minute", "", ""};
  return {Verdict::failed,
          std::string(worst == here ? "this machine's" : "the database's") + " clock is " +
              std::to_string(std::abs(worst)) + " s " + (worst > 0 ? "ahead of" : "behind") + " Stripe's",
          "signatures are refused beyond 300 s, and periods end at the wrong time",
          "timedatectl set-ntp true"};
}

Finding judge_plan_prices(const Facts& facts) {
  if (!facts.knows_stripe() || !facts.knows_database()) return no_stripe();
  std::string wrong;
  for (const Json& plan : list_of(facts.database, "plans")) {
    if (!flag_of(plan, "active")) continue;
    for (const Json& reference : list_of(plan, "prices")) {
      const std::string kind = reference.at("kind"), value = reference.at("reference");
      const auto found = facts.references.find(kind + ":" + value);
      const bool there = found != facts.references.end() && flag_of(found->second, "active");
      if (!there)
        wrong += (wrong.empty() ? "" : "; ") + plan.at("id").get<std::string>() + ": " + kind + " " + value;
    }
  }
  if (wrong.empty()) return {Verdict::ok, "Stripe sells what the plans refer to", "", ""};
  return {Verdict::failed, "plans refer to what Stripe does not have or no longer sells: " + wrong,
          "they were made in another account or mode, or archived",
          "correct the plan with upsert_plan(), or retire_plan() what is no longer sold"};
}

Finding judge_prices_without_plan(const Facts& facts) {
  if (!facts.knows_stripe() || !facts.knows_database()) return no_stripe();
  const Json& plans = list_of(facts.database, "plans");
  if (plans.empty()) return {Verdict::ok, "there are no plans, so no price needs one", "", ""};
  std::string wrong;
  for (const Json& price : facts.prices)
    if (!at(price, "recurring").is_null() && !is_of_plan(price, plans))
      wrong += (wrong.empty() ? "" : ", ") + id_of(price, "id");
  if (wrong.empty()) return {Verdict::ok, "every recurring price is of a plan", "", ""};
  return {Verdict::warning, "recurring prices are of no plan: " + wrong,
          "whoever subscribes to them gets a subscription without a plan",
          "name them in a plan's prices with upsert_plan(), or archive them at Stripe"};
}

Finding judge_plan_credits(const Facts& facts) {
  if (!facts.knows_stripe() || !facts.knows_database()) return no_stripe();
  std::string without;
  bool any = false;
  for (const Json& plan : list_of(facts.database, "plans")) {
    if (!flag_of(plan, "active")) continue;
    const bool grants = flag_of(plan, "credits") || grants_by_metadata(facts, plan);
    any = any || grants;
    if (!grants) without += (without.empty() ? "" : ", ") + plan.at("id").get<std::string>();
  }
  // Who grants no credits at all has no rule to miss.
  if (!any || without.empty()) return {Verdict::ok, "no plan lacks a rule that the others have", "", ""};
  return {Verdict::warning, "plans without a rule for credits: " + without,
          "others have one; whoever has these gets none",
          "give them \"credits\" with upsert_plan(), also {\"credits\": \"0\"} where none is meant"};
}

Finding judge_portal(const Facts& facts) {
  if (!facts.knows_stripe()) return no_stripe();
  const bool any = std::any_of(facts.portals.begin(), facts.portals.end(),
                               [](const Json& portal) { return flag_of(portal, "active"); });
  if (any) return {Verdict::ok, "the customer portal is configured", "", ""};
  return {Verdict::failed, "the customer portal has no active configuration",
          "portal sessions cannot be made",
          "save the settings at https://dashboard.stripe.com/settings/billing/portal, once per mode"};
}

}  // namespace billing::doctor
