// Every rule of access, at the instants around which it changes.
#include "core/subscription_state.hpp"

#include <gtest/gtest.h>

#include "fixtures.hpp"

namespace billing {
namespace {

using fixtures::kDay;
using fixtures::kEnd;
using fixtures::kStart;

constexpr Seconds kSlackEnd = kEnd + 3 * kDay;
constexpr Seconds kGraceEnd = kStart + 7 * kDay;

Subscription with_status(const std::string& status) {
  Subscription one = read_subscription(fixtures::new_subscription());
  one.status = status;
  one.event_created = kStart;
  return one;
}

Subscription trialing() {
  Subscription one = with_status("trialing");
  one.trial_start = kStart;
  one.trial_end = kEnd;
  return one;
}

Subscription canceled(std::optional<Seconds> ended_at) {
  Subscription one = with_status("canceled");
  one.ended_at = ended_at;
  return one;
}

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
  EXPECT_FALSE(state.live);
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

TEST(Trialing, RunsToTheEndOfTheTrial) {
  Subscription one = trialing();
  one.period_end = kEnd + kDay;
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
  one.scheduled_change = next_phase(fixtures::schedule());
  EXPECT_TRUE(just_before(one, kEnd).change_pending);
  EXPECT_FALSE(at_second(one, kEnd).change_pending);
  one.scheduled_change["effective_at"] = "soon";
  EXPECT_FALSE(at_second(one, kStart).change_pending);
  one.scheduled_change = "soon";
  EXPECT_FALSE(at_second(one, kStart).change_pending);
}

// Several subscriptions of one user.

Subscription named(Subscription one, const std::string& id, Seconds created) {
  one.id = id;
  one.created = created;
  return one;
}

UserState of_user(const std::vector<Subscription>& all, Seconds now = kStart, const AccessRules& rules = {}) {
  return judge_user(all, rules, instant(now));
}

TEST(User, WithoutAnySubscription) {
  const UserState state = of_user({});
  expect_word(state.effective, "no_subscription", false, "no_subscription", "subscribe");
  EXPECT_EQ(state.primary, std::nullopt);
  EXPECT_TRUE(state.can_purchase);
  EXPECT_EQ(state.valid_from, kBeginningOfTime);
  EXPECT_EQ(state.valid_until, kEndOfTime);
  AccessRules closed;
  closed.accept_payments = false;
  EXPECT_FALSE(of_user({}, kStart, closed).can_purchase);
}

TEST(User, PrimaryIsTheOneWithAccess) {
  const Subscription old = named(with_status("active"), "sub_1", kStart - 100 * kDay);
  const Subscription dead = named(canceled(kStart - kDay), "sub_2", kStart - 50 * kDay);
  const Subscription pending = named(with_status("incomplete"), "sub_3", kStart);
  for (const auto& all : {std::vector{old, dead, pending}, std::vector{pending, dead, old}}) {
    const UserState state = of_user(all);
    ASSERT_TRUE(state.primary);
    EXPECT_EQ(all[*state.primary].id, "sub_1");
    expect_active(state.effective);
    EXPECT_EQ(state.each.size(), 3U);
    EXPECT_FALSE(state.can_purchase);
  }
}

TEST(User, ThenTheNewestThenTheGreatestId) {
  const Subscription older = named(with_status("active"), "sub_9", kStart - kDay);
  const Subscription newer = named(with_status("active"), "sub_1", kStart);
  const Subscription same = named(with_status("active"), "sub_2", kStart);
  Subscription undated = named(with_status("active"), "sub_99", kStart);
  undated.created = std::nullopt;
  const std::vector all = {undated, older, newer, same};
  EXPECT_EQ(of_user(all).primary, 3U);
  EXPECT_EQ(of_user({same, newer, older, undated}).primary, 0U);
  EXPECT_EQ(of_user({newer, older}).primary, 0U);
  EXPECT_EQ(of_user({undated, older}).primary, 1U);
}

TEST(User, WithoutAccessTheNewestSpeaks) {
  const Subscription unpaid = named(with_status("unpaid"), "sub_1", kStart - kDay);
  const Subscription expired = named(with_status("incomplete_expired"), "sub_2", kStart);
  expect_word(of_user({unpaid, expired}).effective, "expired", false, "incomplete_expired", "subscribe");
}

TEST(User, AccessIsTheUnion) {
  Subscription shorter = named(with_status("active"), "sub_2", kStart);
  shorter.cancel_at = kStart + kDay;
  const Subscription longer = named(with_status("active"), "sub_1", kStart - kDay);
  const UserState state = of_user({shorter, longer});
  EXPECT_EQ(state.primary, 0U);
  EXPECT_EQ(state.effective.access_until, kStart + kDay);
  EXPECT_EQ(state.access_until, kSlackEnd);
  EXPECT_EQ(of_user({shorter, longer}, kStart + kDay).primary, 1U);
}

TEST(User, AccessWithoutAKnownEndHasNoLimit) {
  Subscription endless = named(with_status("active"), "sub_1", kStart);
  endless.period_end = endless.next_renewal = std::nullopt;
  EXPECT_EQ(of_user({endless, with_status("active")}).access_until, std::nullopt);
  EXPECT_EQ(of_user({with_status("incomplete")}).access_until, std::nullopt);
}

TEST(User, PurchasesAreBlockedByWhatIsLive) {
  Subscription ending = with_status("active");
  ending.cancel_at_period_end = true;
  for (const Subscription& one : {with_status("active"), trialing(), with_status("past_due"),
                                  with_status("unpaid"), with_status("paused"), ending}) {
    EXPECT_FALSE(of_user({one}).can_purchase) << one.status;
  }
  for (const Subscription& one :
       {with_status("incomplete"), with_status("incomplete_expired"), canceled(kStart)}) {
    EXPECT_TRUE(of_user({one}).can_purchase) << one.status;
  }
  EXPECT_FALSE(of_user({canceled(kStart), with_status("unpaid")}).can_purchase);
  EXPECT_TRUE(of_user({ending}, kEnd).can_purchase);
}

TEST(User, AmbiguityOfOneIsAmbiguityOfAll) {
  Subscription unclear = named(canceled(kStart), "sub_2", kStart - kDay);
  unclear.ambiguous = true;
  EXPECT_TRUE(of_user({with_status("active"), unclear}).ambiguous);
  EXPECT_FALSE(of_user({with_status("active")}).ambiguous);
}

TEST(Window, EndsWhereTimeChangesSomething) {
  const UserState before = of_user({with_status("active")});
  EXPECT_EQ(before.valid_from, kBeginningOfTime);
  EXPECT_EQ(before.valid_until, instant(kEnd));
  const UserState waiting = of_user({with_status("active")}, kEnd);
  EXPECT_EQ(waiting.valid_from, instant(kEnd));
  EXPECT_EQ(waiting.valid_until, instant(kSlackEnd));
  const UserState after = of_user({with_status("active")}, kSlackEnd);
  EXPECT_EQ(after.valid_from, instant(kSlackEnd));
  EXPECT_EQ(after.valid_until, kEndOfTime);
}

TEST(Window, IsTheNarrowestOfAllSubscriptions) {
  Subscription paused = named(with_status("paused"), "sub_2", kStart);
  paused.pause_behavior = "void";
  paused.pause_resumes_at = kStart + kDay;
  Subscription changing = named(with_status("past_due"), "sub_3", kStart);
  changing.scheduled_change = next_phase(fixtures::schedule());
  const std::vector all = {with_status("active"), paused, changing};
  EXPECT_EQ(of_user(all).valid_until, instant(kStart + kDay));
  EXPECT_EQ(of_user(all, kStart + kDay).valid_from, instant(kStart + kDay));
  EXPECT_EQ(of_user(all, kStart + kDay).valid_until, instant(kGraceEnd));
  EXPECT_EQ(of_user(all, kGraceEnd).valid_until, instant(kEnd));
}

}  // namespace
}  // namespace billing
