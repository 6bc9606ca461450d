#include "functions/entitlement_call.hpp"

#include <limits>

#include "functions/credit_state.hpp"
#include "pg/jsonb_object.hpp"

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

Asked::Asked(const std::string& user_id, const std::string& feature, const Settings& settings, Instant now,
             From from)
    : user_id_(user_id),
      settings_(settings),
      found_(from == From::stored ? holdings::read_stored(user_id, settings, now)
                                  : holdings::read(user_id, settings, now)),
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

CapAnswer Asked::told(const Entitlement& entitlement, const usage::Counter& counter,
                      std::int64_t required) const {
  return answer_of(entitlement, counter.window, counter.used, required, found_.standing, *found_.plans);
}

CapAnswer Asked::told(const std::string& feature, std::int64_t required) {
  const Entitlement mine = entitlement(feature);
  CapAnswer answer = told(mine, counter(mine), required);
  const std::int64_t cost = cost_of(mine.feature, required);
  if (answer.allowed && cost > 0 && available_credits() < cost) {
    answer.allowed = false;
    answer.reason = "insufficient_credits";
    answer.next_step = "buy_credits";
  }
  return answer;
}

Json Asked::answer(const Entitlement& entitlement, const usage::Counter& counter,
                   std::int64_t required) const {
  return answer_json(user_id_, told(entitlement, counter, required));
}

Json Asked::answer(const std::string& feature, std::int64_t required) {
  return answer_json(user_id_, told(feature, required));
}

Json answer_json(const std::string& user_id, const CapAnswer& answer) {
  Json json = entitlement_json(answer);
  json["user_id"] = user_id;
  return json;
}

// The same members.
Datum answer_datum(const std::string& user_id, const CapAnswer& answer) {
  using pg::Member;
  const Member members[] = {
      Member::unless_empty("kind", answer.kind),
      Member::unless_empty("mode", answer.mode),
      Member::of("used", answer.used),
      Member::of("limit", answer.limit),
      Member::document("value", answer.value),
      Member::of("reason", answer.reason),
      Member::unless_empty("source", answer.sources.empty() ? "" : answer.sources.front()),
      Member::unless_empty("window", answer.window),
      Member::of("allowed", answer.allowed),
      Member::of("feature", answer.feature),
      Member::of("overage", answer.overage),
      Member::of("sources", answer.sources),
      Member::of("user_id", user_id),
      Member::unless_empty("next_step", answer.next_step),
      Member::of("remaining", answer.remaining),
      Member::of("unlimited", answer.unlimited),
      Member::of("credit_cost", answer.credit_cost),
      Member::unless_empty("window_start", answer.window_start),
      Member::unless_empty("next_reset_at", answer.next_reset_at),
      Member::of("overage_limit", answer.overage_limit)};
  return pg::guard([&] { return JsonbPGetDatum(pg::object_jsonb(members, std::size(members))); });
}

std::int64_t cost_of(const Feature& feature, std::int64_t amount) {
  std::int64_t cost = 0;
  return __builtin_mul_overflow(feature.credit_cost.value_or(0), amount, &cost)
             ? std::numeric_limits<std::int64_t>::max()
             : cost;
}

}  // namespace billing::entitlements
