#include "core/plan_catalogue.hpp"

#include <algorithm>

namespace billing {

Plans::Plans(std::vector<Plan> plans, PlanHints hints) : plans_(std::move(plans)), hints_(std::move(hints)) {
  std::sort(plans_.begin(), plans_.end(), [](const Plan& a, const Plan& b) { return a.id < b.id; });
  for (std::size_t i = 0; i < plans_.size(); ++i)
    for (const PlanPrice& price : plans_[i].prices)
      by_price_.emplace(std::pair(price.kind, price.reference), i);
}

const Plan* Plans::find(std::string_view id) const {
  const auto found =
      std::lower_bound(plans_.begin(), plans_.end(), id,
                       [](const Plan& plan, std::string_view wanted) { return plan.id < wanted; });
  return found != plans_.end() && found->id == id ? &*found : nullptr;
}

const Plan* Plans::default_plan() const {
  const auto found =
      std::find_if(plans_.begin(), plans_.end(), [](const Plan& plan) { return plan.is_default; });
  return found != plans_.end() ? &*found : nullptr;
}

const Plan* Plans::mapped(const char* kind, const std::string& reference) const {
  const auto found = by_price_.find({kind, reference});
  return found != by_price_.end() ? &plans_[found->second] : nullptr;
}

const PlanHint& Plans::hint(const PriceReference& price, const std::string& id) const {
  static const PlanHint none;
  const auto found = hints_.find({price.account, price.livemode, id});
  return found != hints_.end() ? found->second : none;
}

const Plan* Plans::plan_of(const PriceReference& price) const {
  // Versions from before lookup keys embed prices without them.
  const PlanHint& of_price = hint(price, price.price_id);
  const std::string& lookup_key = price.lookup_key.empty() ? of_price.lookup_key : price.lookup_key;
  const std::string& product = price.product_id.empty() ? of_price.product_id : price.product_id;
  if (const Plan* plan = mapped("price_id", price.price_id)) return plan;
  if (const Plan* plan = mapped("lookup_key", lookup_key)) return plan;
  if (const Plan* plan = mapped("product_id", product)) return plan;
  if (const Plan* plan = find(of_price.plan)) return plan;
  return find(hint(price, product).plan);
}

std::vector<PlanShare> Plans::plans_of(const Subscription& subscription) const {
  std::vector<PlanShare> shares;
  for (const SubscriptionItem& item : subscription.items) {
    const Plan* plan = plan_of(
        {subscription.account, subscription.livemode, item.price_id, item.lookup_key, item.product_id});
    if (plan != nullptr) shares.push_back({plan, item.quantity});
  }
  return shares;
}

const Plan* Plans::plan_of(const Subscription& subscription) const {
  const Plan* best = nullptr;
  for (const PlanShare& share : plans_of(subscription))
    if (best == nullptr || weight(*share.plan) > weight(*best)) best = share.plan;
  return best;
}

PlanWeight weight(const Plan& plan) { return {!plan.is_addon, plan.rank}; }

bool is_free_plan(const Subscription& subscription, const Plans& plans) {
  const Plan* free = plans.default_plan();
  if (free == nullptr || subscription.items.empty()) return false;
  return std::all_of(subscription.items.begin(), subscription.items.end(), [&](const SubscriptionItem& item) {
    return item.unit_amount == 0 && plans.plan_of({subscription.account, subscription.livemode, item.price_id,
                                                   item.lookup_key, item.product_id}) == free;
  });
}

}  // namespace billing
