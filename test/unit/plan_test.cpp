// Plans as people write them: what is read, what is refused, and that what is written is read as the same.
#include "core/plan.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

namespace billing {
namespace {

Plan plan(const char* text) { return parse_plan(parse_json(text)); }
Feature feature(const char* text) { return parse_feature("seats", parse_json(text)); }

std::string refusal(const char* text) {
  try {
    plan(text);
  } catch (const PlanError& error) {
    EXPECT_FALSE(error.hint.empty()) << text;
    return error.what();
  }
  return "accepted";
}

TEST(Plan, NeedsNothingButAnId) {
  const Plan read = plan(R"({"id": "free"})");
  EXPECT_EQ(read.id, "free");
  EXPECT_EQ(read.display_name, "free");
  EXPECT_EQ(read.rank, 0);
  EXPECT_TRUE(read.active);
  EXPECT_FALSE(read.is_default);
  EXPECT_FALSE(read.is_addon);
  EXPECT_FALSE(read.trial_days);
  EXPECT_TRUE(read.prices.empty());
  EXPECT_TRUE(read.features.empty());
}

TEST(Plan, SaysAllItIs) {
  const Plan read = plan(R"({"id": "pro", "display_name": "Pro", "description": "For teams", "rank": 20,
    "trial_days": 14, "currency": "usd", "price_monthly": "19.99", "price_yearly": 199,
    "prices": [{"product_id": "prod_pro"}, {"price_id": "price_1", "cycle": "monthly"},
               {"lookup_key": "pro_yearly", "cycle": "yearly"}],
    "features": {"messages": {"limit": 5000, "window": "month"}, "export": true},
    "credits": {"credits": "300"}, "metadata": {"color": "blue"}})");
  EXPECT_EQ(read.display_name, "Pro");
  EXPECT_EQ(read.description, "For teams");
  EXPECT_EQ(read.rank, 20);
  EXPECT_EQ(read.trial_days, 14);
  EXPECT_EQ(read.price_monthly, 1999);
  EXPECT_EQ(read.price_yearly, 19900);
  ASSERT_EQ(read.prices.size(), 3U);
  EXPECT_EQ(read.prices[0].kind, "lookup_key");
  EXPECT_EQ(read.prices[0].cycle, "yearly");
  EXPECT_EQ(read.prices[1].reference, "price_1");
  ASSERT_EQ(read.features.size(), 2U);
  EXPECT_EQ(read.features[0].name, "export");
  EXPECT_EQ(read.features[1].limit, 5000);
  EXPECT_EQ(read.credits["credits"], "300");
  EXPECT_EQ(read.metadata["color"], "blue");
}

TEST(Plan, MistakesAreNotSilent) {
  const std::pair<const char*, const char*> cases[] = {
      {R"([])", "the plan must be an object, not []"},
      {R"({})", "the plan has id null"},
      {R"({"id": "Pro"})", "the plan has id \"Pro\""},
      {R"({"id": "pro", "prize": 1})", "plan pro has an unknown member \"prize\""},
      {R"({"id": "pro", "name": "pro"})", "plan pro has an unknown member \"name\""},
      {R"({"id": "pro", "rank": -1})", "plan pro has rank -1"},
      {R"({"id": "pro", "rank": "1"})", "plan pro has rank \"1\""},
      {R"({"id": "pro", "rank": 1.5})", "plan pro has rank 1.5"},
      {R"({"id": "pro", "trial_days": 731})", "plan pro has trial_days 731"},
      {R"({"id": "pro", "active": "yes"})", "plan pro has active \"yes\""},
      {R"({"id": "pro", "default": true, "addon": true})", "plan pro is the default plan and an add-on"},
      {R"({"id": "pro", "currency": "USD"})", "plan pro has currency \"USD\""},
      {R"({"id": "pro", "price_monthly": "5"})", "plan pro has price_monthly without a currency"},
      {R"({"id": "pro", "currency": "jpy", "price_monthly": "5.5"})", "plan pro has price_monthly \"5.5\""},
      {R"({"id": "pro", "prices": {}})", "plan pro has prices {}"},
      {R"({"id": "pro", "prices": [{}]})", "price 1 of plan pro names no price"},
      {R"({"id": "pro", "prices": [{"price_id": "a", "cycle": "weekly"}]})",
       "price 1 of plan pro has cycle \"weekly\""},
      {R"({"id": "pro", "prices": [{"price_id": "a", "product_id": "b"}]})",
       "price 1 of plan pro must have one of price_id, lookup_key and product_id, of at most 255 bytes"},
      {R"({"id": "pro", "prices": [{"price_id": "a"}, {"price_id": "a", "cycle": "monthly"}]})",
       "plan pro names price_id a twice"},
      {R"({"id": "pro", "features": []})", "plan pro has features []"},
      {R"({"id": "pro", "features": {"a b": true}})", "feature \"a b\" of plan pro has an unusable name"},
      {R"({"id": "pro", "features": {"a": null}})", "feature \"a\" of plan pro must be an object, not null"},
      {R"({"id": "pro", "features": {"a": 5}})", "feature \"a\" of plan pro must be an object, not 5"},
      {R"({"id": "pro", "features": {"a": {}}})", "feature \"a\" of plan pro says nothing"},
      {R"({"id": "pro", "features": {"a": {"limit": null}}})", "feature \"a\" of plan pro says nothing"},
      {R"({"id": "pro", "features": {"a": {"limit": 1, "unlimited": true}}})",
       "feature \"a\" of plan pro has a limit and is unlimited"},
      {R"({"id": "pro", "features": {"a": {"limit": 1, "value": 2}}})",
       "feature \"a\" of plan pro is of several kinds"},
      {R"({"id": "pro", "features": {"a": {"window": "month"}}})",
       "feature \"a\" of plan pro is metered, but says no limit"},
      {R"({"id": "pro", "features": {"a": {"limit": 1, "window": "fortnight"}}})",
       "feature \"a\" of plan pro has window \"fortnight\""},
      {R"({"id": "pro", "features": {"a": {"limit": 1, "overage_limit": 2}}})",
       "feature \"a\" of plan pro has an overage_limit without mode overage"},
      {R"({"id": "pro", "features": {"a": {"unlimited": true, "per": "seat"}}})",
       "feature \"a\" of plan pro is unlimited, but says how its limit counts"},
      {R"({"id": "pro", "features": {"a": {"enabled": true, "per": "seat"}}})",
       "feature \"a\" of plan pro counts per seat, but has no limit"},
      {R"({"id": "pro", "features": {"a": {"limit": -1}}})", "feature \"a\" of plan pro has limit -1"},
      {R"({"id": "pro", "credits": 300})", "plan pro has credits 300"},
      {R"({"id": "pro", "credits": {"amount": 300}})", "plan pro has credits with unknown attribute amount"},
  };
  for (const auto& [text, message] : cases) EXPECT_EQ(refusal(text), message) << text;
}

TEST(Feature, KindFollowsFromWhatItSays) {
  EXPECT_EQ(feature("true").kind, Feature::Kind::boolean);
  EXPECT_FALSE(feature("false").enabled);
  EXPECT_EQ(feature(R"({"limit": 5})").kind, Feature::Kind::limit);
  EXPECT_EQ(feature(R"({"limit": 0})").limit, 0);
  EXPECT_TRUE(feature(R"({"limit": 5, "per": "seat"})").per_seat);
  EXPECT_EQ(feature(R"({"value": {"sizes": [1, 2]}})").kind, Feature::Kind::value);
  EXPECT_EQ(feature(R"({"value": false})").kind, Feature::Kind::value);
  const Feature paid = feature(R"({"credit_cost": 3})");
  EXPECT_EQ(paid.kind, Feature::Kind::boolean);
  EXPECT_TRUE(paid.enabled);
  EXPECT_EQ(paid.credit_cost, 3);
}

TEST(Feature, ModeOrWindowMakesItMetered) {
  const Feature month = feature(R"({"limit": 100, "window": "month"})");
  EXPECT_EQ(month.kind, Feature::Kind::metered);
  EXPECT_EQ(month.mode, "hard");
  const Feature soft = feature(R"({"limit": 100, "mode": "soft"})");
  EXPECT_EQ(soft.kind, Feature::Kind::metered);
  EXPECT_EQ(soft.window, "period");
  EXPECT_EQ(feature(R"({"limit": 1, "mode": "overage", "overage_limit": 9})").overage_limit, 9);
  EXPECT_TRUE(feature(R"({"unlimited": true, "window": "month"})").unlimited);
}

rc::Gen<std::optional<std::int64_t>> maybe_count() {
  return rc::gen::map(
      rc::gen::pair(rc::gen::arbitrary<bool>(), rc::gen::inRange<std::int64_t>(0, 1'000'000'000)),
      [](const std::pair<bool, std::int64_t>& made) {
        return made.first ? std::optional(made.second) : std::nullopt;
      });
}

std::string any_of(std::initializer_list<const char*> choices) {
  return *rc::gen::elementOf(std::vector<std::string>(choices.begin(), choices.end()));
}

Feature any_feature(const std::string& name) {
  Feature made;
  made.name = name;
  made.credit_cost = *maybe_count();
  switch (*rc::gen::inRange(0, 4)) {
    case 0:
      made.enabled = *rc::gen::arbitrary<bool>();
      return made;
    case 1:
      made.kind = Feature::Kind::value;
      made.value = parse_json(any_of({"1", "[]", "{\"a\": [null, 1.5]}", "\"x\"", "false"}));
      return made;
    case 2:
      made.kind = Feature::Kind::limit;
      break;
    default:
      made.kind = Feature::Kind::metered;
      made.window = any_of({"period", "day", "week", "month", "year", "lifetime"});
      made.mode = "hard";
  }
  made.unlimited = *rc::gen::arbitrary<bool>();
  if (made.unlimited) return made;
  made.limit = *rc::gen::inRange<std::int64_t>(0, 1'000'000'000'001);
  made.per_seat = *rc::gen::arbitrary<bool>();
  if (made.kind == Feature::Kind::metered) made.mode = any_of({"hard", "soft", "overage"});
  if (made.mode == "overage") made.overage_limit = *maybe_count();
  return made;
}

Plan any_plan() {
  Plan made;
  made.id = any_of({"free", "pro", "team-2", "a.b_c"});
  made.display_name = any_of({"Pro", "Größe", "free"});
  made.description = any_of({"", "x"});
  made.rank = *rc::gen::inRange(0, 1'000'001);
  made.trial_days = *rc::gen::element<std::optional<std::int64_t>>(std::nullopt, 0, 14, 730);
  made.active = *rc::gen::arbitrary<bool>();
  made.is_default = *rc::gen::arbitrary<bool>();
  made.is_addon = !made.is_default && *rc::gen::arbitrary<bool>();
  made.currency = any_of({"", "usd", "jpy", "kwd"});
  if (!made.currency.empty()) {
    made.price_monthly = *maybe_count();
    made.price_yearly = *maybe_count();
  }
  for (const char* kind : {"lookup_key", "price_id", "product_id"})
    for (const char* reference : {"a", "b"})
      if (*rc::gen::arbitrary<bool>())
        made.prices.push_back({kind, reference, any_of({"", "monthly", "yearly"})});
  for (const char* name : {"api", "messages", "seats", "storage.gb"})
    if (*rc::gen::arbitrary<bool>()) made.features.push_back(any_feature(name));
  if (*rc::gen::arbitrary<bool>()) made.credits = {{"credits", "300"}};
  if (*rc::gen::arbitrary<bool>()) made.metadata = {{"x", {1, nullptr}}};
  return made;
}

RC_GTEST_PROP(Plan, ReadsWhatItWrote, ()) {
  const Plan made = any_plan();
  const Plan read = parse_plan(parse_json(to_text(plan_json(made))));
  RC_ASSERT(to_text(plan_json(read)) == to_text(plan_json(made)));
  RC_ASSERT(read == made);
}

RC_GTEST_PROP(Feature, ReadsWhatItWrote, ()) {
  const Feature made = any_feature("seats");
  RC_ASSERT(parse_feature("seats", feature_json(made)) == made);
}

}  // namespace
}  // namespace billing
