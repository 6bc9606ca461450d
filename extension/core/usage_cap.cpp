#include "core/usage_cap.hpp"

#include <algorithm>

namespace billing {
namespace {

const Feature* stated(const Plan& plan, const std::string& name) {
  for (const Feature& feature : plan.features)
    if (feature.name == name && (feature.kind != Feature::Kind::boolean || feature.enabled)) return &feature;
  return nullptr;
}

Json time_or_null(Instant time) {
  if (time == kBeginningOfTime || time == kEndOfTime) return nullptr;
  return iso_time(time / 1'000'000);
}

bool gives_more(const Feature& offered, const Feature& mine) {
  if (!is_counted(offered)) return true;
  return offered.unlimited || offered.limit > mine.limit;
}

}  // namespace

CapVerdict judge_cap(const Feature& feature, std::int64_t used, std::int64_t amount) {
  CapVerdict verdict;
  verdict.reason = "cap_exceeded";
  std::int64_t after = 0;
  if (__builtin_add_overflow(used, amount, &after)) return verdict;
  verdict.used_after = after;
  if (feature.unlimited) {
    verdict.allowed = true;
    verdict.reason = "unlimited";
    return verdict;
  }
  if (after <= feature.limit) {
    verdict.allowed = true;
    verdict.reason = "within_limit";
    return verdict;
  }
  verdict.beyond = after - feature.limit;
  // Who asks for nothing more is refused nothing, also where a limit was lowered below what is used.
  if (feature.mode == "soft" || amount <= 0) {
    verdict.allowed = true;
    verdict.reason = "over_limit";
  } else if (feature.mode == "overage" &&
             (!feature.overage_limit || verdict.beyond <= *feature.overage_limit)) {
    verdict.allowed = true;
    verdict.reason = "overage";
  }
  return verdict;
}

std::optional<std::int64_t> remaining_of(const Feature& feature, std::int64_t used) {
  if (!is_counted(feature) || feature.unlimited) return std::nullopt;
  return used >= feature.limit ? 0 : feature.limit - std::max<std::int64_t>(used, 0);
}

Refusal why_not_given(const Entitlement& entitlement, const Standing& standing, const Plans& plans) {
  const std::string& name = entitlement.feature.name;
  if (entitlement.removed) return {"removed", "contact_support"};
  for (const Plan* plan : standing.lapsed)
    if (stated(*plan, name) != nullptr)
      return {standing.reason.empty() ? "subscription_inactive" : standing.reason,
              standing.next_step.empty() ? "subscribe" : standing.next_step};
  bool known = false;
  for (const Plan& plan : plans.all()) {
    if (plan.active && stated(plan, name) != nullptr)
      return {"not_in_plan", standing.has_subscription ? "upgrade" : "subscribe"};
    known = known || std::any_of(plan.features.begin(), plan.features.end(),
                                 [&](const Feature& feature) { return feature.name == name; });
  }
  if (known) return {"not_in_plan", "contact_support"};
  return {"unknown_feature", "check_feature_name"};
}

std::string next_step_at_cap(const Entitlement& entitlement, const Standing& standing, const Plans& plans) {
  const Feature& mine = entitlement.feature;
  for (const Plan* plan : standing.lapsed) {
    const Feature* paid = stated(*plan, mine.name);
    if (paid != nullptr && gives_more(*paid, mine) && !standing.next_step.empty()) return standing.next_step;
  }
  for (const Plan& plan : plans.all()) {
    const Feature* offered = plan.active ? stated(plan, mine.name) : nullptr;
    const bool adds =
        offered != nullptr && plan.is_addon && is_counted(*offered) && offered->window == mine.window;
    if (offered != nullptr && (adds || gives_more(*offered, mine)))
      return standing.has_subscription ? "upgrade" : "subscribe";
  }
  if (mine.kind == Feature::Kind::limit) return "release_feature";
  return mine.window == "lifetime" ? "contact_support" : "wait_for_reset";
}

Json entitlement_json(const Entitlement& entitlement, const UsageWindow& window, std::int64_t used,
                      std::int64_t required, const Standing& standing, const Plans& plans) {
  const Feature& feature = entitlement.feature;
  const bool counted = entitlement.given && is_counted(feature);
  Json json = {{"feature", feature.name},
               {"allowed", entitlement.given},
               {"reason", "included"},
               {"next_step", nullptr},
               {"kind", entitlement.given ? Json(name_of(feature.kind)) : Json(nullptr)},
               {"limit", nullptr},
               {"used", nullptr},
               {"remaining", nullptr},
               {"unlimited", counted && feature.unlimited},
               {"mode", nullptr},
               {"overage", nullptr},
               {"overage_limit", nullptr},
               {"window", nullptr},
               {"window_start", nullptr},
               {"next_reset_at", nullptr},
               {"source", nullptr},
               {"sources", entitlement.sources},
               {"value", nullptr},
               {"credit_cost", nullptr}};
  if (!entitlement.sources.empty()) json["source"] = entitlement.sources.front();
  if (!entitlement.given) {
    const Refusal refusal = why_not_given(entitlement, standing, plans);
    json["reason"] = refusal.reason;
    json["next_step"] = refusal.next_step;
    return json;
  }
  if (feature.credit_cost) json["credit_cost"] = *feature.credit_cost;
  if (feature.kind == Feature::Kind::value) json["value"] = feature.value;
  if (!counted) return json;
  const CapVerdict verdict = judge_cap(feature, used, required);
  json["allowed"] = verdict.allowed;
  json["reason"] = verdict.reason;
  if (!verdict.allowed || verdict.reason == "over_limit")
    json["next_step"] = next_step_at_cap(entitlement, standing, plans);
  json["used"] = used;
  if (!feature.unlimited) {
    json["limit"] = feature.limit;
    json["remaining"] = *remaining_of(feature, used);
    json["overage"] = std::max<std::int64_t>(used - feature.limit, 0);
  }
  if (feature.kind == Feature::Kind::metered) {
    if (!feature.unlimited) json["mode"] = feature.mode;
    if (feature.overage_limit) json["overage_limit"] = *feature.overage_limit;
    json["window"] = window.kind;
    json["window_start"] = time_or_null(window.start);
    json["next_reset_at"] = time_or_null(window.end);
  }
  return json;
}

}  // namespace billing
