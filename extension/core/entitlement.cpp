#include "core/entitlement.hpp"

#include <algorithm>

namespace billing {
namespace {

constexpr std::int64_t kInfinite = kEndOfTime;

std::int64_t plus(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? kInfinite : sum;
}

std::int64_t times(std::int64_t limit, std::int64_t seats) {
  std::int64_t product = 0;
  return __builtin_mul_overflow(limit, std::max<std::int64_t>(seats, 0), &product) ? kInfinite : product;
}

bool gives(const Feature& feature) { return feature.kind != Feature::Kind::boolean || feature.enabled; }

const Feature* find(const Plan& plan, const std::string& name) {
  const auto found = std::lower_bound(
      plan.features.begin(), plan.features.end(), name,
      [](const Feature& feature, const std::string& wanted) { return feature.name < wanted; });
  return found != plan.features.end() && found->name == name ? &*found : nullptr;
}

Feature for_seats(Feature feature, std::int64_t seats) {
  if (!feature.per_seat) return feature;
  feature.per_seat = false;
  feature.limit = times(feature.limit, seats);
  if (feature.overage_limit) feature.overage_limit = times(*feature.overage_limit, seats);
  return feature;
}

std::string source_of(const HeldPlan& held) {
  if (held.plan->is_addon) return "addon:" + held.plan->id;
  switch (held.via) {
    case HeldPlan::Via::grant:
      return "grant:" + held.plan->id;
    case HeldPlan::Via::default_plan:
      return "default:" + held.plan->id;
    case HeldPlan::Via::subscription:
      break;
  }
  return "plan:" + held.plan->id;
}

bool counts_alike(const Feature& a, const Feature& b) {
  return is_counted(a) && a.kind == b.kind && a.window == b.window;
}

// How far use may go in all.
std::int64_t furthest(const Feature& feature) {
  if (feature.unlimited || feature.mode == "soft") return kInfinite;
  if (feature.mode != "overage") return feature.limit;
  return feature.overage_limit ? plus(feature.limit, *feature.overage_limit) : kInfinite;
}

void set_limit(Feature& mine, std::int64_t limit, std::int64_t end, bool soft) {
  mine.limit = limit;
  if (mine.kind != Feature::Kind::metered) return;
  mine.mode = soft ? "soft" : end > limit ? "overage" : "hard";
  mine.overage_limit = std::nullopt;
  if (mine.mode == "overage" && end != kInfinite) mine.overage_limit = end - limit;
}

// Of plans the greater limit and the greater distance count; add-ons add both. So who has one more never has
// less. Returns whether it changed anything.
bool join(Feature& mine, const Feature& other, bool adds) {
  if (!is_counted(mine) || !is_counted(other)) return false;
  const Feature before = mine;
  if (other.unlimited) {
    mine.unlimited = true;
  } else if (!mine.unlimited && counts_alike(mine, other)) {
    const std::int64_t a = furthest(mine);
    const std::int64_t b = furthest(other);
    const bool soft = mine.mode == "soft" || other.mode == "soft";
    if (adds)
      set_limit(mine, plus(mine.limit, other.limit), plus(a, b), soft);
    else
      set_limit(mine, std::max(mine.limit, other.limit), std::max(a, b), soft);
  }
  return mine != before;
}

// No limit, so nothing that says how it counts.
void tidy(Feature& feature) {
  if (!feature.unlimited) return;
  feature.limit = 0;
  feature.overage_limit = std::nullopt;
  if (feature.kind == Feature::Kind::metered) feature.mode = "hard";
}

void add_plans(Entitlement& mine, const std::vector<HeldPlan>& plans) {
  for (const HeldPlan& held : plans) {
    const Feature* stated = find(*held.plan, mine.feature.name);
    if (stated == nullptr || !gives(*stated)) continue;
    const Feature feature = for_seats(*stated, held.quantity);
    if (!mine.given) {
      mine.given = true;
      mine.feature = feature;
      mine.period = held.period;
    } else if (!join(mine.feature, feature, held.plan->is_addon)) {
      continue;
    }
    mine.sources.push_back(source_of(held));
  }
  tidy(mine.feature);
}

}  // namespace

bool is_counted(const Feature& feature) {
  return feature.kind == Feature::Kind::limit || feature.kind == Feature::Kind::metered;
}

std::vector<HeldPlan> held_in_order(const Holdings& holdings) {
  std::vector<HeldPlan> held = holdings.plans;
  const bool has_plan =
      std::any_of(held.begin(), held.end(), [](const HeldPlan& each) { return !each.plan->is_addon; });
  if (!has_plan && holdings.default_plan != nullptr)
    held.push_back({HeldPlan::Via::default_plan, holdings.default_plan});
  std::stable_sort(held.begin(), held.end(), [](const HeldPlan& a, const HeldPlan& b) {
    const PlanWeight of_a = weight(*a.plan);
    const PlanWeight of_b = weight(*b.plan);
    return of_a != of_b ? of_a > of_b : a.plan->id < b.plan->id;
  });
  return held;
}

Entitlement resolve(const std::string& feature, const Holdings& holdings) {
  Entitlement mine;
  mine.feature.name = feature;
  mine.feature.enabled = false;
  const std::vector<HeldPlan> plans = held_in_order(holdings);
  add_plans(mine, plans);
  // Stripe only ever allows: what it does not list it may not have told.
  if (!mine.given && holdings.stripe_features.count(feature) > 0) {
    mine.given = true;
    mine.feature.enabled = true;
    mine.sources = {"stripe"};
  }
  const auto by_hand = holdings.by_hand.find(feature);
  if (by_hand == holdings.by_hand.end()) return mine;
  mine.sources = {"user"};
  const std::optional<Feature>& set = by_hand->second.feature;
  mine.given = set && gives(*set);
  mine.removed = !mine.given;
  if (!mine.given) {
    mine.feature = Feature{};
    mine.feature.name = feature;
    mine.feature.enabled = false;
    return mine;
  }
  mine.feature = for_seats(*set, plans.empty() ? 1 : plans.front().quantity);
  mine.feature.name = feature;
  if (!mine.period && !plans.empty()) mine.period = plans.front().period;
  return mine;
}

std::set<std::string> feature_names(const Holdings& holdings, const Plans& plans) {
  std::set<std::string> names(holdings.stripe_features);
  for (const auto& [name, setting] : holdings.by_hand) names.insert(name);
  for (const Plan& plan : plans.all())
    for (const Feature& feature : plan.features) names.insert(feature.name);
  return names;
}

UsageWindow window_of(const Entitlement& entitlement, const std::string& zone, const OffsetAt& offset_at,
                      Instant now) {
  const Feature& feature = entitlement.feature;
  if (feature.kind != Feature::Kind::metered) return endless_window("count");
  if (feature.window == "lifetime") return endless_window("lifetime");
  const bool has_period = entitlement.period && entitlement.period->start < entitlement.period->end;
  // Also where Stripe's clock is ahead of ours, and the period has begun there.
  if (feature.window == "period" && has_period)
    return period_window(entitlement.period->start, entitlement.period->end, now);
  return calendar_window(parse_unit(feature.window).value_or(Unit::month), zone, offset_at, now);
}

}  // namespace billing
