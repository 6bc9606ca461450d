#include "core/usage_cap.hpp"

#include <algorithm>

namespace billing {
namespace {

const Feature* stated(const Plan& plan, const std::string& name) {
  for (const Feature& feature : plan.features)
    if (feature.name == name && (feature.kind != Feature::Kind::boolean || feature.enabled)) return &feature;
  return nullptr;
}

std::string time_or_nothing(Instant time) {
  return time == kBeginningOfTime || time == kEndOfTime ? std::string() : iso_time(time / 1'000'000);
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

CapAnswer answer_of(const Entitlement& entitlement, const UsageWindow& window, std::int64_t used,
                    std::int64_t required, const Standing& standing, const Plans& plans) {
  const Feature& feature = entitlement.feature;
  const bool counted = entitlement.given && is_counted(feature);
  CapAnswer answer;
  answer.feature = feature.name;
  answer.allowed = entitlement.given;
  answer.reason = "included";
  answer.unlimited = counted && feature.unlimited;
  answer.sources = entitlement.sources;
  if (!entitlement.given) {
    Refusal refusal = why_not_given(entitlement, standing, plans);
    answer.reason = std::move(refusal.reason);
    answer.next_step = std::move(refusal.next_step);
    return answer;
  }
  answer.kind = name_of(feature.kind);
  answer.credit_cost = feature.credit_cost;
  if (feature.kind == Feature::Kind::value) answer.value = feature.value;
  if (!counted) return answer;
  CapVerdict verdict = judge_cap(feature, used, required);
  answer.allowed = verdict.allowed;
  if (!verdict.allowed || verdict.reason == "over_limit")
    answer.next_step = next_step_at_cap(entitlement, standing, plans);
  answer.reason = std::move(verdict.reason);
  answer.used = used;
  if (!feature.unlimited) {
    answer.limit = feature.limit;
    answer.remaining = remaining_of(feature, used);
    answer.overage = std::max<std::int64_t>(used - feature.limit, 0);
  }
  if (feature.kind != Feature::Kind::metered) return answer;
  if (!feature.unlimited) answer.mode = feature.mode;
  answer.overage_limit = feature.overage_limit;
  answer.window = window.kind;
  answer.window_start = time_or_nothing(window.start);
  answer.next_reset_at = time_or_nothing(window.end);
  return answer;
}

Json entitlement_json(const CapAnswer& answer) {
  const auto number = [](const std::optional<std::int64_t>& value) {
    return value ? Json(*value) : Json(nullptr);
  };
  const auto text = [](const std::string& value) { return value.empty() ? Json(nullptr) : Json(value); };
  return {{"feature", answer.feature},
          {"allowed", answer.allowed},
          {"reason", answer.reason},
          {"next_step", text(answer.next_step)},
          {"kind", text(answer.kind)},
          {"limit", number(answer.limit)},
          {"used", number(answer.used)},
          {"remaining", number(answer.remaining)},
          {"unlimited", answer.unlimited},
          {"mode", text(answer.mode)},
          {"overage", number(answer.overage)},
          {"overage_limit", number(answer.overage_limit)},
          {"window", text(answer.window)},
          {"window_start", text(answer.window_start)},
          {"next_reset_at", text(answer.next_reset_at)},
          {"source", answer.sources.empty() ? Json(nullptr) : Json(answer.sources.front())},
          {"sources", answer.sources},
          {"value", answer.value},
          {"credit_cost", number(answer.credit_cost)}};
}

}  // namespace billing
