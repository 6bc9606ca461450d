// Every rule of access, at the instants around which it changes.
#include "core/subscription_state.hpp"

#include <gtest/gtest.h>

#include "core/scheduled_change.hpp"
#include "fixtures.hpp"

namespace billing {
namespace {

using fixtures::canceled;
using fixtures::kDay;
using fixtures::kEnd;
using fixtures::kGraceEnd;
using fixtures::kSlackEnd;
using fixtures::kStart;
using fixtures::trialing;
using fixtures::with_status;

SubscriptionState at_second(const Subscription& one, Seconds now, const AccessRules& rules = {}) {
  return judge(one, rules, instant(now));
}

SubscriptionState just_before(const Subscription& one, Seconds now, const AccessRules& rules = {}) {
  return judge(one, rules, instant(now) - 1);
}

void expect_word(const SubscriptionState& state, const char* word, bool has_access, const char* reason,
                 const char* next_step) {
  EXPECT_EQ(state.state, word);
  EXPECT_EQ(state.has_access, has_access);
  EXPECT_EQ(state.reason, reason);
  EXPECT_EQ(state.next_step, next_step);
}

void expect_active(const SubscriptionState& state) { expect_word(state, "active", true, "active", ""); }
void expect_ended(const SubscriptionState& state) {
  expect_word(state, "expired", false, "subscription_ended", "subscribe");
  EXPECT_EQ(state.access_until, std::nullopt);
  EXPECT_EQ(state.renews_at, std::nullopt);
  EXPECT_FALSE(state.live);
}

TEST(Active, RenewsAtTheEndOfItsPeriod) {
  const SubscriptionState state = at_second(with_status("active"), kStart);
  expect_active(state);
  EXPECT_EQ(state.renews_at, kEnd);
  EXPECT_EQ(state.ends_at, std::nullopt);
  EXPECT_EQ(state.access_until, kSlackEnd);
  EXPECT_FALSE(state.stale);
  EXPECT_TRUE(state.live);
}

TEST(Active, StaysEntitledWhileItsRenewalIsOnItsWay) {
  expect_active(just_before(with_status("active"), kEnd));
  for (const SubscriptionState& state :
       {at_second(with_status("active"), kEnd), just_before(with_status("active"), kSlackEnd)}) {
    expect_word(state, "active", true, "awaiting_renewal", "");
    EXPECT_TRUE(state.stale);
    EXPECT_EQ(state.access_until, kSlackEnd);
    EXPECT_EQ(state.renews_at, kEnd);
    EXPECT_TRUE(state.live);
  }
}

TEST(Active, UnconfirmedRenewalEndsAccess) {
  const SubscriptionState state = at_second(with_status("active"), kSlackEnd);
  expect_word(state, "expired", false, "renewal_not_confirmed", "refetch_subscription");
  EXPECT_TRUE(state.stale);
  EXPECT_EQ(state.access_until, std::nullopt);
  EXPECT_EQ(state.renews_at, std::nullopt);
  // What Stripe has not said to be over may go on there: a second purchase would charge twice.
  EXPECT_TRUE(state.live);
}

TEST(Active, SlackIsASetting) {
  AccessRules rules;
  rules.renewal_slack = 0;
  expect_active(just_before(with_status("active"), kEnd, rules));
  expect_word(at_second(with_status("active"), kEnd, rules), "expired", false, "renewal_not_confirmed",
              "refetch_subscription");
  rules.renewal_slack = kEndOfTime;
  EXPECT_TRUE(at_second(with_status("active"), kEnd + 10000 * kDay, rules).has_access);
}

TEST(Active, WithoutAKnownEndIsNeverStale) {
  Subscription one = with_status("active");
  one.period_end = one.next_renewal = std::nullopt;
  const SubscriptionState state = at_second(one, kEnd + 10000 * kDay);
  expect_active(state);
  EXPECT_FALSE(state.stale);
  EXPECT_EQ(state.access_until, std::nullopt);
}

TEST(Active, SeveralItemsRenewSoonestAndAreEntitledLongest) {
  Subscription one = with_status("active");
  one.next_renewal = kStart + kDay;
  const SubscriptionState state = at_second(one, kStart + 2 * kDay);
  expect_active(state);
  EXPECT_EQ(state.renews_at, kStart + kDay);
  EXPECT_EQ(state.access_until, kSlackEnd);
}

TEST(Active, ATrialThatIsOverDoesNotMatter) {
  Subscription one = with_status("active");
  one.trial_end = kStart - kDay;
  expect_active(at_second(one, kStart));
  EXPECT_EQ(at_second(one, kStart).renews_at, kEnd);
  one.cancel_at_period_end = true;
  EXPECT_EQ(at_second(one, kStart).ends_at, kEnd);
}

TEST(Trialing, RunsToTheEndOfTheTrial) {
  Subscription one = trialing();
  one.period_end = one.next_renewal = kEnd + kDay;
  const SubscriptionState state = just_before(one, kEnd);
  expect_word(state, "trialing", true, "trialing", "");
  EXPECT_EQ(state.renews_at, kEnd);
  EXPECT_EQ(state.access_until, kSlackEnd);
}

TEST(Trialing, LapsesWithTimeAlone) {
  const SubscriptionState waiting = at_second(trialing(), kEnd);
  expect_word(waiting, "trialing", true, "awaiting_renewal", "");
  EXPECT_TRUE(waiting.stale);
  expect_word(at_second(trialing(), kSlackEnd), "expired", false, "renewal_not_confirmed",
              "refetch_subscription");
}

TEST(Trialing, WithoutATrialEndRunsToTheEndOfThePeriod) {
  Subscription one = trialing();
  one.trial_end = std::nullopt;
  EXPECT_EQ(at_second(one, kStart).renews_at, kEnd);
  one.period_end = std::nullopt;
  expect_word(at_second(one, kSlackEnd), "trialing", true, "trialing", "");
}

TEST(Ending, KeepsAccessUntilThePeriodEndsWithoutSlack) {
  Subscription one = with_status("active");
  one.cancel_at_period_end = true;
  const SubscriptionState state = just_before(one, kEnd);
  expect_word(state, "canceled", true, "cancellation_scheduled", "resume_subscription");
  EXPECT_EQ(state.ends_at, kEnd);
  EXPECT_EQ(state.access_until, kEnd);
  EXPECT_EQ(state.renews_at, std::nullopt);
  EXPECT_TRUE(state.live);
  expect_ended(at_second(one, kEnd));
  EXPECT_EQ(at_second(one, kEnd).ends_at, kEnd);
  EXPECT_FALSE(at_second(one, kEnd).stale);
}

TEST(Ending, AtADateOfItsOwn) {
  Subscription one = with_status("active");
  one.cancel_at = kStart + 5 * kDay;
  EXPECT_EQ(at_second(one, kStart).ends_at, kStart + 5 * kDay);
  EXPECT_EQ(at_second(one, kStart).renews_at, std::nullopt);
  expect_ended(at_second(one, kStart + 5 * kDay));
  one.cancel_at_period_end = true;
  EXPECT_EQ(at_second(one, kStart).ends_at, kStart + 5 * kDay);
}

TEST(Ending, FarAheadStillRenewsUntilThen) {
  Subscription one = with_status("active");
  one.cancel_at = kEnd + 300 * kDay;
  const SubscriptionState state = at_second(one, kStart);
  expect_word(state, "canceled", true, "cancellation_scheduled", "resume_subscription");
  EXPECT_EQ(state.renews_at, kEnd);
  EXPECT_EQ(state.ends_at, kEnd + 300 * kDay);
}

TEST(Ending, TrialThatWillNotBePaidEndsWithTheTrial) {
  Subscription one = trialing();
  one.cancel_at_period_end = true;
  one.period_end = kEnd + kDay;
  EXPECT_EQ(at_second(one, kStart).ends_at, kEnd);
  expect_word(just_before(one, kEnd), "canceled", true, "cancellation_scheduled", "resume_subscription");
  expect_ended(at_second(one, kEnd));
  one.trial_end = std::nullopt;
  EXPECT_EQ(at_second(one, kStart).ends_at, kEnd + kDay);
}

TEST(Ending, AtAnUnknownTimeKeepsAccess) {
  Subscription one = with_status("active");
  one.cancel_at_period_end = true;
  one.period_end = one.next_renewal = std::nullopt;
  const SubscriptionState state = at_second(one, kEnd);
  expect_word(state, "canceled", true, "cancellation_scheduled", "resume_subscription");
  EXPECT_EQ(state.access_until, std::nullopt);
}

TEST(PastDue, HasAccessForItsGrace) {
  const SubscriptionState state = just_before(with_status("past_due"), kGraceEnd);
  expect_word(state, "past_due", true, "payment_past_due", "update_payment_method");
  EXPECT_EQ(state.access_until, kGraceEnd);
  EXPECT_EQ(state.renews_at, std::nullopt);
  EXPECT_TRUE(state.live);
}

TEST(PastDue, LosesAccessAfterItsGrace) {
  const SubscriptionState state = at_second(with_status("past_due"), kGraceEnd);
  expect_word(state, "past_due", false, "past_due_grace_over", "update_payment_method");
  EXPECT_EQ(state.access_until, std::nullopt);
  EXPECT_TRUE(state.live);
}

TEST(PastDue, GraceCountsFromTheStartOfTheUnpaidPeriod) {
  Subscription one = with_status("past_due");
  one.event_created = kStart + 2 * kDay;
  EXPECT_EQ(at_second(one, kStart).access_until, kGraceEnd);
  one.period_start = std::nullopt;
  EXPECT_EQ(at_second(one, kStart).access_until, kGraceEnd + 2 * kDay);
}

TEST(PastDue, GraceIsASetting) {
  AccessRules rules;
  rules.past_due_grace = 0;
  EXPECT_FALSE(at_second(with_status("past_due"), kStart, rules).has_access);
  rules.past_due_grace = kEndOfTime;
  EXPECT_TRUE(at_second(with_status("past_due"), kEnd + 10000 * kDay, rules).has_access);
}

TEST(PastDue, EndsWhenItsEndComesFirst) {
  Subscription one = with_status("past_due");
  one.cancel_at = kStart + 2 * kDay;
  const SubscriptionState state = at_second(one, kStart);
  expect_word(state, "past_due", true, "payment_past_due", "update_payment_method");
  EXPECT_EQ(state.access_until, kStart + 2 * kDay);
  EXPECT_EQ(state.ends_at, kStart + 2 * kDay);
  expect_ended(at_second(one, kStart + 2 * kDay));
  one.cancel_at = std::nullopt;
  one.cancel_at_period_end = true;
  EXPECT_EQ(at_second(one, kStart).access_until, kGraceEnd);
  expect_word(at_second(one, kGraceEnd), "past_due", false, "past_due_grace_over", "update_payment_method");
  expect_ended(at_second(one, kEnd));
}

TEST(WithoutAccess, EachStatusSaysWhyAndWhatToDo) {
  expect_word(at_second(with_status("incomplete"), kStart), "incomplete", false, "payment_incomplete",
              "complete_payment");
  expect_word(at_second(with_status("incomplete_expired"), kStart), "expired", false, "incomplete_expired",
              "subscribe");
  expect_word(at_second(with_status("unpaid"), kStart), "unpaid", false, "payment_failed",
              "update_payment_method");
  expect_word(at_second(with_status("paused"), kStart), "paused", false, "subscription_paused",
              "resume_subscription");
  for (const char* status : {"hibernating", "", "ACTIVE"}) {
    expect_word(at_second(with_status(status), kStart), "incomplete", false, "unknown_status",
                "contact_support");
  }
}

TEST(WithoutAccess, OnlyWhatIsOverOrNeverBeganIsNotLive) {
  for (const char* status : {"unpaid", "paused"})
    EXPECT_TRUE(at_second(with_status(status), kStart).live) << status;
  for (const char* status : {"incomplete", "incomplete_expired", "hibernating"}) {
    EXPECT_FALSE(at_second(with_status(status), kStart).live) << status;
  }
}

TEST(WithoutAccess, ADecidedEndIsShown) {
  Subscription one = with_status("unpaid");
  EXPECT_EQ(at_second(one, kStart).ends_at, std::nullopt);
  one.cancel_at_period_end = true;
  EXPECT_EQ(at_second(one, kStart).ends_at, kEnd);
}

TEST(Canceled, EndsAtItsEnd) {
  const SubscriptionState state = at_second(canceled(kStart + kDay), kStart + kDay);
  expect_ended(state);
  EXPECT_EQ(state.ends_at, kStart + kDay);
  EXPECT_TRUE(just_before(canceled(kStart + kDay), kStart + kDay).has_access);
  EXPECT_EQ(just_before(canceled(kStart + kDay), kStart + kDay).reason, "cancellation_scheduled");
}

TEST(Canceled, WithoutAnEndFallsBackOnTheRequestThenOnTheEvent) {
  Subscription one = canceled(std::nullopt);
  one.canceled_at = kStart + kDay;
  EXPECT_EQ(at_second(one, kEnd).ends_at, kStart + kDay);
  one.canceled_at = std::nullopt;
  one.event_created = kStart + 2 * kDay;
  EXPECT_EQ(at_second(one, kEnd).ends_at, kStart + 2 * kDay);
}

TEST(Canceled, PaidPeriodsCountOnlyWhenTheRulesSaySo) {
  Subscription one = canceled(kStart + kDay);
  one.paid_through = kEnd;
  expect_ended(at_second(one, kStart + kDay));
  AccessRules rules;
  rules.canceled_until_paid_through = true;
  const SubscriptionState state = just_before(one, kEnd, rules);
  expect_word(state, "canceled", true, "paid_through", "");
  EXPECT_EQ(state.ends_at, kEnd);
  EXPECT_EQ(state.access_until, kEnd);
  EXPECT_TRUE(state.live);
  expect_ended(at_second(one, kEnd, rules));
}

TEST(Canceled, APeriodPaidUntilBeforeTheEndChangesNothing) {
  AccessRules rules;
  rules.canceled_until_paid_through = true;
  Subscription one = canceled(kStart + kDay);
  expect_ended(at_second(one, kStart + kDay, rules));
  one.paid_through = kStart;
  EXPECT_EQ(at_second(one, kStart + kDay, rules).ends_at, kStart + kDay);
  EXPECT_EQ(just_before(one, kStart + kDay, rules).reason, "cancellation_scheduled");
}

TEST(DeletedCustomer, HasNoAccessWhateverTheStatus) {
  for (const char* status : {"active", "trialing", "past_due", "canceled", "hibernating"}) {
    Subscription one = with_status(status);
    one.customer_deleted = true;
    const SubscriptionState state = at_second(one, kStart);
    expect_word(state, "expired", false, "customer_deleted", "subscribe");
    EXPECT_FALSE(state.live);
  }
}

TEST(PauseCollection, IsAFactOfItsOwn) {
  Subscription one = with_status("active");
  EXPECT_FALSE(at_second(one, kStart).collection_paused);
  one.pause_behavior = "void";
  expect_active(at_second(one, kStart));
  EXPECT_TRUE(at_second(one, kStart).collection_paused);
  one.pause_resumes_at = kStart + kDay;
  EXPECT_TRUE(just_before(one, kStart + kDay).collection_paused);
  EXPECT_FALSE(at_second(one, kStart + kDay).collection_paused);
}

TEST(ScheduledChange, IsPendingUntilItsTime) {
  Subscription one = with_status("active");
  EXPECT_FALSE(at_second(one, kStart).change_pending);
  one.scheduled_change = change_by_schedule(fixtures::schedule());
  EXPECT_TRUE(just_before(one, kEnd).change_pending);
  EXPECT_FALSE(at_second(one, kEnd).change_pending);
  one.scheduled_change["effective_at"] = "soon";
  EXPECT_FALSE(at_second(one, kStart).change_pending);
  one.scheduled_change = "soon";
  EXPECT_FALSE(at_second(one, kStart).change_pending);
}

}  // namespace
}  // namespace billing
