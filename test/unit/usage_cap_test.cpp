// Caps: never beyond a hard one, beyond a soft one with a word about it, and the answers that say so.
#include "core/usage_cap.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

namespace billing {
namespace {

Feature feature(const char* json) { return parse_feature("f", parse_json(json)); }

Entitlement given(const char* json) {
  Entitlement mine;
  mine.given = true;
  mine.feature = feature(json);
  mine.sources = {"plan:pro"};
  return mine;
}

std::string verdict(const char* json, std::int64_t used, std::int64_t amount) {
  const CapVerdict found = judge_cap(feature(json), used, amount);
  return std::string(found.allowed ? "yes " : "no ") + found.reason + " " + std::to_string(found.beyond);
}

constexpr const char* kHard = R"({"limit": 100, "window": "month"})";
constexpr const char* kSoft = R"({"limit": 100, "window": "month", "mode": "soft"})";
constexpr const char* kOver = R"({"limit": 100, "window": "month", "mode": "overage", "overage_limit": 20})";
constexpr const char* kEndless = R"({"limit": 100, "window": "month", "mode": "overage"})";

TEST(UsageCap, AHardCapIsReachedAndNotPassed) {
  EXPECT_EQ(verdict(kHard, 0, 100), "yes within_limit 0");
  EXPECT_EQ(verdict(kHard, 99, 1), "yes within_limit 0");
  EXPECT_EQ(verdict(kHard, 100, 1), "no cap_exceeded 1");
  EXPECT_EQ(verdict(kHard, 99, 2), "no cap_exceeded 1");
  EXPECT_EQ(verdict(R"({"limit": 0})", 0, 1), "no cap_exceeded 1");
}

TEST(UsageCap, SoftAndOverageGoBeyondAndSayHowFar) {
  EXPECT_EQ(verdict(kSoft, 99, 5), "yes over_limit 4");
  EXPECT_EQ(verdict(kOver, 99, 21), "yes overage 20");
  EXPECT_EQ(verdict(kOver, 99, 22), "no cap_exceeded 21");
  EXPECT_EQ(verdict(kEndless, 99, 1'000'000), "yes overage 999999");
  EXPECT_EQ(verdict(R"({"unlimited": true})", 1'000'000, 1), "yes unlimited 0");
}

TEST(UsageCap, NothingMoreIsNeverRefused) {
  EXPECT_EQ(verdict(kHard, 100, 0), "yes within_limit 0");
  EXPECT_EQ(verdict(kHard, 150, 0), "yes over_limit 50");
}

TEST(UsageCap, CountersDoNotWrapRound) {
  for (const char* json : {kHard, kSoft, kOver, kEndless, R"({"unlimited": true})"})
    EXPECT_EQ(judge_cap(feature(json), kEndOfTime - 1, 2).allowed, false) << json;
  EXPECT_EQ(judge_cap(feature(kEndless), kEndOfTime - 1, 1).allowed, true);
}

TEST(UsageCap, WhatIsLeftIsNeverNegative) {
  EXPECT_EQ(remaining_of(feature(kHard), 30), 70);
  EXPECT_EQ(remaining_of(feature(kHard), 150), 0);
  EXPECT_EQ(remaining_of(feature(R"({"unlimited": true})"), 150), std::nullopt);
  EXPECT_EQ(remaining_of(feature("true"), 0), std::nullopt);
}

Plan plan(const char* json) { return parse_plan(parse_json(json)); }

Plans catalogue() {
  return Plans(
      {plan(
           R"({"id": "free", "default": true, "features": {"f": {"limit": 100, "window": "month"}, "seats": {"limit": 1}}})"),
       plan(
           R"({"id": "pro", "features": {"f": {"unlimited": true, "window": "month"}, "export": true, "seats": {"limit": 5}}})"),
       plan(R"({"id": "old", "active": false, "features": {"fax": true}})")},
      {});
}

std::string refusal(const char* name, Standing standing = {}, bool removed = false) {
  static const Plans plans = catalogue();
  if (!standing.reason.empty()) standing.lapsed = {plans.find("pro")};
  Entitlement mine;
  mine.feature.name = name;
  mine.removed = removed;
  const Refusal why = why_not_given(mine, standing, plans);
  return why.reason + " " + why.next_step;
}

TEST(UsageCap, ARefusalSaysWhyAndWhatToDo) {
  Standing subscribed;
  subscribed.has_subscription = true;
  Standing unpaid;
  unpaid.reason = "past_due_grace_over";
  unpaid.next_step = "update_payment_method";
  EXPECT_EQ(refusal("export"), "not_in_plan subscribe");
  EXPECT_EQ(refusal("export", subscribed), "not_in_plan upgrade");
  EXPECT_EQ(refusal("export", unpaid), "past_due_grace_over update_payment_method");
  EXPECT_EQ(refusal("fax"), "not_in_plan contact_support");
  EXPECT_EQ(refusal("exprot"), "unknown_feature check_feature_name");
  EXPECT_EQ(refusal("export", unpaid, true), "removed contact_support");
}

TEST(UsageCap, AtTheCapTheNextStepIsWhatHelps) {
  const Plans plans = catalogue();
  const Plans none;
  Entitlement mine = given(kHard);
  Standing subscribed;
  subscribed.has_subscription = true;
  EXPECT_EQ(next_step_at_cap(mine, {}, plans), "subscribe");
  EXPECT_EQ(next_step_at_cap(mine, subscribed, plans), "upgrade");
  EXPECT_EQ(next_step_at_cap(mine, subscribed, none), "wait_for_reset");
  Standing unpaid;
  unpaid.next_step = "update_payment_method";
  unpaid.lapsed = {plans.find("pro")};
  EXPECT_EQ(next_step_at_cap(mine, unpaid, plans), "update_payment_method");
  mine.feature.window = "lifetime";
  EXPECT_EQ(next_step_at_cap(mine, subscribed, none), "contact_support");
  Entitlement seats = given(R"({"limit": 5})");
  seats.feature.name = "seats";
  EXPECT_EQ(next_step_at_cap(seats, subscribed, plans), "release_feature");
  seats.feature.limit = 1;
  EXPECT_EQ(next_step_at_cap(seats, subscribed, plans), "upgrade");
}

TEST(UsageCap, AnAnswerHasEveryMemberWhateverTheKind) {
  const Plans plans = catalogue();
  const UsageWindow november{"month", instant(*parse_iso_time("2026-11-01T00:00:00Z")),
                             instant(*parse_iso_time("2026-12-01T00:00:00Z")), "UTC"};
  const Json capped = entitlement_json(answer_of(given(kHard), november, 100, 1, {}, plans));
  EXPECT_EQ(capped["allowed"], false);
  EXPECT_EQ(capped["reason"], "cap_exceeded");
  EXPECT_EQ(capped["remaining"], 0);
  EXPECT_EQ(capped["next_reset_at"], "2026-12-01T00:00:00+00:00");
  EXPECT_EQ(capped["source"], "plan:pro");
  for (const char* json :
       {"true", R"({"limit": 5})", R"({"unlimited": true})", R"({"value": [1]})", kSoft, kOver}) {
    const Json answer = entitlement_json(answer_of(given(json), november, 0, 1, {}, plans));
    EXPECT_EQ(answer["allowed"], true) << json;
    EXPECT_EQ(answer.size(), capped.size()) << json;
    for (const auto& member : capped.items()) EXPECT_TRUE(answer.contains(member.key())) << member.key();
  }
  EXPECT_EQ(entitlement_json(answer_of({}, november, 0, 1, {}, plans)).size(), capped.size());
  EXPECT_EQ(entitlement_json(answer_of(given(R"({"value": [1]})"), november, 0, 1, {}, plans))["value"],
            Json::parse("[1]"));
  EXPECT_EQ(entitlement_json(answer_of(given(R"({"unlimited": true})"), november, 9, 1, {}, plans))["limit"],
            nullptr);
}

RC_GTEST_PROP(UsageCap, UseNeverGoesBeyondWhatTheModeAllows, ()) {
  const std::int64_t limit = *rc::gen::inRange(0, 30);
  const std::int64_t extra = *rc::gen::inRange(0, 10);
  const bool overage = *rc::gen::arbitrary<bool>();
  Json json = {{"limit", limit}, {"window", "month"}};
  if (overage) json.update({{"mode", "overage"}, {"overage_limit", extra}});
  const Feature cap = parse_feature("f", json);
  std::int64_t used = 0;
  for (int i = 0; i < 50; ++i) {
    const std::int64_t amount = *rc::gen::inRange(1, 6);
    const CapVerdict found = judge_cap(cap, used, amount);
    RC_ASSERT(found.allowed == (used + amount <= limit + (overage ? extra : 0)));
    if (found.allowed) used = found.used_after;
    RC_ASSERT(used <= limit + (overage ? extra : 0));
  }
}

}  // namespace
}  // namespace billing
