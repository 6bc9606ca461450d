// All plans of an installation, and which of them a price is.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "core/plan.hpp"
#include "core/subscription.hpp"

namespace billing {

// What is known of a price where it is sold.
struct PriceReference {
  std::string account;
  bool livemode = false;
  std::string price_id;
  std::string lookup_key;
  std::string product_id;
};

// What the mirror knows of a price or product that can tell the plan. Ids are unique within an account's
// mode.
struct PlanHint {
  std::string plan;  // metadata "plan"
  std::string lookup_key;
  std::string product_id;
  bool operator==(const PlanHint&) const = default;
};
using PlanHintKey = std::tuple<std::string, bool, std::string>;  // account, livemode, id
using PlanHints = std::map<PlanHintKey, PlanHint>;

// One plan of a subscription, and how many of it.
struct PlanShare {
  const Plan* plan;
  std::int64_t quantity;
};

class Plans {
 public:
  Plans() = default;
  Plans(std::vector<Plan> plans, PlanHints hints);
  Plans(const Plans&) = delete;
  Plans& operator=(const Plans&) = delete;

  bool empty() const { return plans_.empty(); }
  const std::vector<Plan>& all() const { return plans_; }  // by id
  const Plan* find(std::string_view id) const;
  const Plan* default_plan() const;

  // The first of: the plan that names the price's id, its lookup key, its product; the plan that the metadata
  // of the price, or else of the product, names. Null when it is mapped to none.
  const Plan* plan_of(const PriceReference& price) const;
  // Those of the subscription's items, in their order; items that are mapped to none are left out.
  std::vector<PlanShare> plans_of(const Subscription& subscription) const;
  // The one that the subscription stands for: a plan before an add-on, then the highest rank, then the first
  // item's. Null when no item is mapped.
  const Plan* plan_of(const Subscription& subscription) const;

  const PlanHints& hints() const { return hints_; }

 private:
  const Plan* mapped(const char* kind, const std::string& reference) const;
  const PlanHint& hint(const PriceReference& price, const std::string& id) const;

  std::vector<Plan> plans_;
  PlanHints hints_;
  std::map<std::pair<std::string, std::string>, std::size_t> by_price_;  // kind and reference
};

// What decides which of two plans counts where a user has access to both: add-ons last, then the rank.
struct PlanWeight {
  bool stands_alone = true;
  std::int64_t rank = 0;
  auto operator<=>(const PlanWeight&) const = default;
};
PlanWeight weight(const Plan& plan);

// Whether a subscription is the free plan itself: every price of the default plan, at no cost.
bool is_free_plan(const Subscription& subscription, const Plans& plans);

}  // namespace billing
