#include "functions/entitlement_call.hpp"

#include <limits>

#include "functions/credit_state.hpp"

namespace billing::entitlements {

namespace {

constexpr std::int64_t kMost = 1'000'000'000'000;

}  // namespace

std::string feature_argument(FunctionCallInfo fcinfo, int index) {
  const std::string feature = text_argument(fcinfo, index, "feature");
  if (!is_feature_name(feature))
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                       "not a name of a feature: \"" + shorten(feature, 80) + "\"",
                       "Names have 1 to 80 of a-z, A-Z, 0-9, _, - and dot.");
  return feature;
}

void check_count(std::int64_t count, const char* name, std::int64_t least) {
  if (count < least || count > kMost)
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                       std::string(name) + " must be from " + std::to_string(least) + " to " +
                           std::to_string(kMost) + ", not " + std::to_string(count),
                       "Counts are positive whole numbers; release_feature() gives back what was used.");
}

std::int64_t count_argument(FunctionCallInfo fcinfo, int index, const char* name, std::int64_t least) {
  if (PG_ARGISNULL(index))
    throw pg::SqlError(ERRCODE_NULL_VALUE_NOT_ALLOWED, std::string(name) + " must not be null",
                       "Leave it out for 1.");
  const std::int64_t count = PG_GETARG_INT64(index);
  check_count(count, name, least);
  return count;
}

Asked::Asked(const std::string& user_id, const std::string& feature, const Settings& settings, Instant now)
    : user_id_(user_id),
      settings_(settings),
      found_(holdings::read(user_id, settings, now)),
      now_(found_.now),
      rows_(usage::read(user_id, feature, now_)) {}

usage::Counter Asked::counter(const Entitlement& entitlement) const {
  if (!entitlement.given || !is_counted(entitlement.feature)) return {};
  return usage::counter_of(entitlement, rows_, settings_, now_);
}

std::int64_t Asked::available_credits() {
  if (!credits_) credits_ = credits::read_balances(user_id_, settings_, now_).available;
  return *credits_;
}

Json Asked::answer(const Entitlement& entitlement, const usage::Counter& counter,
                   std::int64_t required) const {
  Json json = {{"user_id", user_id_}};
  json.update(
      entitlement_json(entitlement, counter.window, counter.used, required, found_.standing, *found_.plans));
  return json;
}

Json Asked::answer(const std::string& feature, std::int64_t required) {
  const Entitlement mine = entitlement(feature);
  Json json = answer(mine, counter(mine), required);
  const std::int64_t cost = cost_of(mine.feature, required);
  if (json["allowed"] == true && cost > 0 && available_credits() < cost) {
    json["allowed"] = false;
    json["reason"] = "insufficient_credits";
    json["next_step"] = "buy_credits";
  }
  return json;
}

std::int64_t cost_of(const Feature& feature, std::int64_t amount) {
  std::int64_t cost = 0;
  return __builtin_mul_overflow(feature.credit_cost.value_or(0), amount, &cost)
             ? std::numeric_limits<std::int64_t>::max()
             : cost;
}

}  // namespace billing::entitlements
