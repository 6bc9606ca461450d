#include "core/trial_eligibility.hpp"

#include <algorithm>

namespace billing {
namespace {

std::int64_t days_offered(const Plans& plans, std::string_view id) {
  std::int64_t most = 0;
  for (const Plan& plan : plans.all())
    if (id.empty() ? plan.active && !plan.is_addon : plan.id == id)
      most = std::max(most, plan.trial_days.value_or(0));
  return most;
}

bool has_begun(const Subscription& subscription) {
  return subscription.status != "incomplete" && subscription.status != "incomplete_expired";
}

}  // namespace

TrialEligibility judge_trial(const std::vector<Subscription>& tried, const std::vector<Subscription>& owned,
                             const Plans& plans, std::string_view plan, bool awaited) {
  const auto counts = [&](const Subscription& one) { return !is_free_plan(one, plans); };
  if (std::any_of(tried.begin(), tried.end(), counts)) return {false, "trial_used", "subscribe", 0};
  if (std::any_of(owned.begin(), owned.end(),
                  [&](const Subscription& one) { return counts(one) && has_begun(one); }))
    return {false, "had_subscription", "subscribe", 0};
  if (awaited) return {false, "subscription_awaited", "refetch_subscription", 0};
  const std::int64_t days = days_offered(plans, plan);
  if (days == 0) return {false, "no_trial_offered", "subscribe", 0};
  return {true, "eligible", "start_trial", days};
}

}  // namespace billing
