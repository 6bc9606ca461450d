// The state of a user with several subscriptions, and for how long it holds.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <set>

#include "core/scheduled_change.hpp"
#include "core/subscription_state.hpp"
#include "generators.hpp"

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
  EXPECT_EQ(state.effective.state, "no_subscription");
  EXPECT_FALSE(state.effective.has_access);
  EXPECT_EQ(state.effective.reason, "no_subscription");
  EXPECT_EQ(state.effective.next_step, "subscribe");
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
    EXPECT_EQ(state.effective.state, "active");
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
  EXPECT_EQ(of_user({unpaid, expired}).effective.reason, "incomplete_expired");
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

UserState awaiting(const std::vector<Subscription>& all, Seconds now = kStart) {
  return judge_user(all, {}, instant(now), {}, true);
}

TEST(User, WhatWasBoughtAndNotToldOfBlocksPurchases) {
  const UserState first = awaiting({});
  EXPECT_EQ(first.effective.state, "no_subscription");
  EXPECT_EQ(first.effective.reason, "subscription_awaited");
  EXPECT_EQ(first.effective.next_step, "refetch_subscription");
  EXPECT_FALSE(first.can_purchase);
  for (const Subscription& over :
       {canceled(kStart), with_status("incomplete_expired"), with_status("incomplete")}) {
    const UserState again = awaiting({over});
    EXPECT_EQ(again.effective.state, of_user({over}).effective.state);
    EXPECT_EQ(again.effective.reason, "subscription_awaited") << over.status;
    EXPECT_FALSE(again.can_purchase);
  }
  for (const char* status : {"active", "past_due", "unpaid", "paused"}) {
    const UserState running = awaiting({with_status(status)}, kGraceEnd);
    EXPECT_EQ(running.effective.next_step, of_user({with_status(status)}, kGraceEnd).effective.next_step);
    EXPECT_FALSE(running.can_purchase);
  }
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
  changing.scheduled_change = change_by_schedule(fixtures::schedule());
  const std::vector all = {with_status("active"), paused, changing};
  EXPECT_EQ(of_user(all).valid_until, instant(kStart + kDay));
  EXPECT_EQ(of_user(all, kStart + kDay).valid_from, instant(kStart + kDay));
  EXPECT_EQ(of_user(all, kStart + kDay).valid_until, instant(kGraceEnd));
  EXPECT_EQ(of_user(all, kGraceEnd).valid_until, instant(kEnd));
}

// Properties over random subscriptions, whose instants lie close together.

struct Case {
  std::vector<Subscription> subscriptions;
  AccessRules rules;
  Instant now;
};

Case any_case() {
  const int count = *rc::gen::inRange(0, 4);
  Case one{{}, *generators::rules(), *generators::now()};
  for (int i = 0; i < count; ++i) one.subscriptions.push_back(*generators::subscription());
  return one;
}

std::string json_at(const Case& one, Instant now) {
  return to_text(state_json("user_1", one.subscriptions, judge_user(one.subscriptions, one.rules, now)));
}

RC_GTEST_PROP(UserProperty, NothingChangesWithinTheWindow, ()) {
  const Case one = any_case();
  const UserState state = judge_user(one.subscriptions, one.rules, one.now);
  RC_ASSERT(state.valid_from <= one.now);
  RC_ASSERT(one.now < state.valid_until || state.valid_until == kEndOfTime);
  const Instant first = std::max(state.valid_from, later_by(one.now, -instant(40 * kDay)));
  const Instant last = std::min(state.valid_until - 1, later_by(one.now, instant(40 * kDay)));
  const Instant other =
      *rc::gen::oneOf(rc::gen::just(first), rc::gen::just(last), rc::gen::inRange(first, last + 1));
  RC_ASSERT(json_at(one, other) == json_at(one, one.now));
  const UserState elsewhere = judge_user(one.subscriptions, one.rules, other);
  RC_ASSERT(elsewhere.valid_from == state.valid_from);
  RC_ASSERT(elsewhere.valid_until == state.valid_until);
}

RC_GTEST_PROP(UserProperty, WindowsFollowEachOtherWithoutAGap, ()) {
  const Case one = any_case();
  const UserState state = judge_user(one.subscriptions, one.rules, one.now);
  if (state.valid_until != kEndOfTime) {
    RC_ASSERT(judge_user(one.subscriptions, one.rules, state.valid_until).valid_from == state.valid_until);
  }
  if (state.valid_from != kBeginningOfTime) {
    RC_ASSERT(judge_user(one.subscriptions, one.rules, state.valid_from - 1).valid_until == state.valid_from);
  }
}

RC_GTEST_PROP(UserProperty, OrderOfRowsDoesNotMatter, ()) {
  Case one = any_case();
  for (std::size_t i = 0; i < one.subscriptions.size(); ++i)
    one.subscriptions[i].id = "sub_" + std::to_string(i);
  Case other = one;
  std::reverse(other.subscriptions.begin(), other.subscriptions.end());
  RC_ASSERT(json_at(one, one.now) == json_at(other, one.now));
}

RC_GTEST_PROP(UserProperty, AccessIsWhatItsPartsSay, ()) {
  const Case one = any_case();
  const UserState state = judge_user(one.subscriptions, one.rules, one.now);
  bool any_access = false;
  bool any_live = false;
  for (std::size_t i = 0; i < state.each.size(); ++i) {
    const SubscriptionState& part = state.each[i];
    any_access = any_access || part.has_access;
    any_live = any_live || part.live;
    RC_ASSERT(part.has_access || part.access_until == std::nullopt);
    RC_ASSERT(!part.access_until || instant(*part.access_until) > one.now || one.now == kEndOfTime);
    RC_ASSERT(part.has_access || part.next_step != "");
    RC_ASSERT(!part.reason.empty());
    RC_ASSERT(part.state == judge(one.subscriptions[i], one.rules, one.now).state);
  }
  RC_ASSERT(state.effective.has_access == any_access);
  RC_ASSERT(state.can_purchase == (one.rules.accept_payments && !any_live));
  RC_ASSERT(state.primary.has_value() == !one.subscriptions.empty());
}

RC_GTEST_PROP(UserProperty, EveryStatusIsJudged, ()) {
  static const std::set<std::string> kStates = {"incomplete", "trialing", "active",   "past_due",
                                                "unpaid",     "paused",   "canceled", "expired"};
  Subscription one = *generators::subscription();
  one.status = *generators::text();
  const SubscriptionState state = judge(one, *generators::rules(), *rc::gen::arbitrary<Instant>());
  RC_ASSERT(kStates.contains(state.state));
}

}  // namespace
}  // namespace billing
