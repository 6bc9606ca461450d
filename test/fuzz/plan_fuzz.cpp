// Any text as a plan: it is refused with a hint, or it is a plan that is written down and read as the same.
#include "core/plan.hpp"

#include "choices.hpp"

namespace {

using namespace billing;

void read(const Json& json) {
  Plan plan;
  try {
    plan = parse_plan(json);
  } catch (const PlanError& error) {
    require(!error.hint.empty() && std::string(error.what()).size() < 1000);
    return;
  }
  require(!plan.id.empty() && plan.id.size() <= 63);
  const Json written = plan_json(plan);
  // As a database would give it back.
  require(parse_plan(parse_json(to_text(written))) == plan);
  require(plan_json(parse_plan(written)) == written);
  for (const Feature& feature : plan.features) {
    require(is_feature_name(feature.name));
    require(parse_feature(feature.name, feature_json(feature)) == feature);
  }
}

// What random bytes would seldom spell: a plan whose every member is nearly right.
Json spelled(Choices& choices) {
  static constexpr std::array kMembers = {
      "id",       "display_name", "description",   "rank",          "trial_days",  "active",   "default",
      "addon",    "currency",     "price_monthly", "price_yearly",  "prices",      "features", "credits",
      "metadata", "price_id",     "lookup_key",    "product_id",    "cycle",       "limit",    "window",
      "mode",     "per",          "unlimited",     "overage_limit", "credit_cost", "value",    "seats",
      "grant",    "carry_over"};
  static constexpr std::array kTexts = {"pro",   "usd",   "jpy",     "monthly", "yearly",   "month", "period",
                                        "hard",  "soft",  "overage", "account", "seat",     "19.99", "-1",
                                        "1e999", "1.005", "",        "P r o",   "lifetime", "0"};
  Json json = choices.json(kMembers, kTexts, 4);
  if (json.is_object() && choices.flip()) json["id"] = "pro";
  return json;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  try {
    read(parse_json(std::string_view(reinterpret_cast<const char*>(data), size)));
  } catch (const JsonError&) {
  }
  Choices choices(data, size);
  read(spelled(choices));
  return 0;
}
