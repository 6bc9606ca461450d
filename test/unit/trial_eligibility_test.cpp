// Who may try a plan: once per person, not after having paid, and the free plan uses up nothing.
#include "core/trial_eligibility.hpp"

#include <gtest/gtest.h>

namespace billing {
namespace {

const Plans& offers() {
  static const Plans plans(
      {parse_plan(parse_json(R"({"id": "free", "default": true, "prices": [{"price_id": "free"}]})")),
       parse_plan(parse_json(R"({"id": "pro", "trial_days": 14})")),
       parse_plan(parse_json(R"({"id": "team", "trial_days": 7})")),
       parse_plan(parse_json(R"({"id": "old", "trial_days": 60, "active": false})")),
       parse_plan(parse_json(R"({"id": "extra", "trial_days": 90, "addon": true})"))},
      {});
  return plans;
}

Subscription to(const char* price, std::int64_t amount = 2900, const char* status = "active") {
  Subscription one;
  one.status = status;
  one.items.emplace_back();
  one.items[0].price_id = price;
  one.items[0].unit_amount = amount;
  return one;
}

std::string reason(std::vector<Subscription> tried, std::vector<Subscription> owned,
                   const char* plan = "pro") {
  const TrialEligibility judged = judge_trial(tried, owned, offers(), plan);
  EXPECT_EQ(judged.eligible, judged.reason == "eligible");
  EXPECT_EQ(judged.eligible, judged.days > 0);
  EXPECT_FALSE(judged.next_step.empty());
  return judged.reason;
}

TEST(Trial, IsForWhoeverHasNotTriedAndNotPaid) {
  EXPECT_EQ(reason({}, {}), "eligible");
  EXPECT_EQ(reason({to("pro")}, {}), "trial_used");
  EXPECT_EQ(reason({to("pro")}, {to("pro")}), "trial_used");
  for (const char* status : {"active", "canceled", "past_due", "unpaid", "paused", "trialing", "frozen"})
    EXPECT_EQ(reason({}, {to("pro", 2900, status)}), "had_subscription") << status;
}

TEST(Trial, WhatNeverBeganUsesUpNothing) {
  EXPECT_EQ(reason({}, {to("pro", 2900, "incomplete"), to("pro", 2900, "incomplete_expired")}), "eligible");
}

TEST(Trial, WaitsForWhatWasBoughtAndNotToldOf) {
  const TrialEligibility judged = judge_trial({}, {}, offers(), "pro", true);
  EXPECT_FALSE(judged.eligible);
  EXPECT_EQ(judged.reason, "subscription_awaited");
  EXPECT_EQ(judged.next_step, "refetch_subscription");
  EXPECT_EQ(judge_trial({to("pro")}, {}, offers(), "pro", true).reason, "trial_used");
}

TEST(Trial, TheFreePlanUsesUpNothing) {
  EXPECT_EQ(reason({to("free", 0)}, {to("free", 0)}), "eligible");
  EXPECT_EQ(reason({to("free", 0), to("pro")}, {}), "trial_used");
  EXPECT_EQ(reason({}, {to("free", 0), to("free", 500)}), "had_subscription");
  EXPECT_EQ(reason({}, {to("other", 0)}), "had_subscription");
}

TEST(Trial, LastsAsLongAsThePlanSays) {
  EXPECT_EQ(judge_trial({}, {}, offers(), "pro").days, 14);
  EXPECT_EQ(judge_trial({}, {}, offers(), "team").days, 7);
  EXPECT_EQ(judge_trial({}, {}, offers(), "old").days, 60);
  EXPECT_EQ(judge_trial({}, {}, offers(), "").days, 14);
  EXPECT_EQ(reason({}, {}, "free"), "no_trial_offered");
  EXPECT_EQ(judge_trial({}, {}, Plans(), "").reason, "no_trial_offered");
}

}  // namespace
}  // namespace billing
