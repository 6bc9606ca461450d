// A plan as people write it down: what it costs, which prices are it, what it gives.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/json.hpp"

namespace billing {

// What is wrong with a plan, and what would be right.
class PlanError : public std::runtime_error {
 public:
  PlanError(const std::string& message, std::string hint)
      : std::runtime_error(message), hint(std::move(hint)) {}
  std::string hint;
};

// One feature of a plan. In JSON:
//   true | false                          a switch
//   {"limit": 5}                          how many there may be at a time; "per": "account" (default) |
//   "seat"
//   {"limit": 100, "window": "month"}     metered: how much may be used per window; window: period (of the
//                                         subscription, default when mode is given) | day | week | month |
//                                         year | lifetime; mode: hard (default) | soft | overage, with
//                                         "overage_limit"
//   {"unlimited": true}                   instead of a limit: never implied by leaving it out
//   {"value": ...}                        static: any JSON that the application reads
//   "credit_cost": n                      beside any of them: what one use costs in credits
struct Feature {
  enum class Kind { boolean, limit, metered, value } kind = Kind::boolean;
  std::string name;
  bool enabled = true;     // boolean
  bool unlimited = false;  // limit, metered
  std::int64_t limit = 0;  // limit, metered; unless unlimited
  bool per_seat = false;   // limit, metered
  std::string window;      // metered
  std::string mode;        // metered
  std::optional<std::int64_t> overage_limit;
  std::optional<std::int64_t> credit_cost;
  Json value;
  bool operator==(const Feature&) const = default;
};
const char* name_of(Feature::Kind kind);
// 1 to 80 of a-z, A-Z, 0-9, '_', '-', '.': as long as the lookup keys of Stripe's own features.
bool is_feature_name(const std::string& text);
// One feature by itself, as parse_plan and plan_json have it. Throws PlanError.
Feature parse_feature(const std::string& name, const Json& json);
Json feature_json(const Feature& feature);

// A price that is this plan: one of price_id, lookup_key, product_id. `cycle` is monthly, yearly, or "".
struct PlanPrice {
  std::string kind;
  std::string reference;
  std::string cycle;
  auto operator<=>(const PlanPrice&) const = default;
};

struct Plan {
  std::string id;  // a-z, 0-9, '_', '-', '.'; at most 63 bytes
  std::string display_name;
  std::string description;
  std::int64_t rank = 0;  // of two plans with access the higher counts
  std::optional<std::int64_t> trial_days;
  bool active = true;       // offered
  bool is_default = false;  // of whoever has no subscription
  bool is_addon = false;    // gives its features beside a plan
  std::string currency;
  std::optional<std::int64_t> price_monthly;  // minor units
  std::optional<std::int64_t> price_yearly;
  std::vector<PlanPrice> prices;  // sorted
  std::vector<Feature> features;  // by name
  Json credits = Json::object();  // the attributes of core/credit_plan.hpp, for prices that don't say them
  Json metadata = Json::object();
  bool operator==(const Plan&) const = default;
};

// Throws PlanError: unknown members, wrong types and contradictions are errors, so that no typing mistake is
// silent.
Plan parse_plan(const Json& json);
// What parse_plan reads as the same plan; members at their defaults are left out.
Json plan_json(const Plan& plan);

}  // namespace billing
