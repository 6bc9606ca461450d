// Test clocks: who is on one is judged at its time, and its events need no order.
#include "core/test_clock.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/causal_chain.hpp"
#include "core/subscription_state.hpp"
#include "fixtures.hpp"

namespace billing {
namespace {

using fixtures::kDay;
using fixtures::kEnd;
using fixtures::kSlackEnd;
using fixtures::kStart;

AccessRules with_clock(Seconds time, bool deleted = false) {
  AccessRules rules;
  rules.clocks = std::make_shared<const TestClocks>(TestClocks{{"clock_1", {time, deleted}}});
  return rules;
}

Subscription on_clock(const std::string& status = "active", const std::string& clock = "clock_1") {
  Json object = fixtures::new_subscription();
  object["status"] = status;
  object["test_clock"] = clock;
  return read_subscription(object);
}

Event clock_event(const std::string& id, const std::string& type, const std::string& status, Seconds time) {
  Event event;
  event.id = id;
  event.type = "test_helpers.test_clock." + type;
  event.created = kStart;
  event.object_type = kTestClock;
  event.object_id = "clock_1";
  event.object = {{"id", "clock_1"}, {"object", kTestClock}, {"status", status}, {"frozen_time", time}};
  return event;
}

TEST(TestClock, IsReadFromWhateverIsOnIt) {
  EXPECT_EQ(test_clock_of({{"test_clock", "clock_1"}}), "clock_1");
  EXPECT_EQ(test_clock_of({{"test_clock", {{"id", "clock_1"}}}}), "clock_1");
  EXPECT_EQ(test_clock_of({{"test_clock", nullptr}}), "");
  EXPECT_EQ(read_test_clock({{"frozen_time", 7}}, false), (TestClock{7, false}));
  EXPECT_EQ(read_test_clock(nullptr, false), TestClock{});
}

TEST(TestClock, StandsForTheTimeAtWhichASubscriptionIsJudged) {
  const Subscription one = on_clock();
  for (const Seconds real : {Seconds{0}, kStart, kEnd + 400 * kDay}) {
    const SubscriptionState running = judge(one, with_clock(kEnd - 1), instant(real));
    EXPECT_EQ(running.reason, "active");
    EXPECT_EQ(running.frozen_time, kEnd - 1);
    EXPECT_EQ(judge(one, with_clock(kEnd), instant(real)).reason, "awaiting_renewal");
    EXPECT_EQ(judge(one, with_clock(kSlackEnd), instant(real)).reason, "renewal_not_confirmed");
  }
}

TEST(TestClock, DoesNotPassByItself) {
  const UserState state = judge_user({on_clock()}, with_clock(kStart), instant(kEnd));
  EXPECT_EQ(state.valid_from, kBeginningOfTime);
  EXPECT_EQ(state.valid_until, kEndOfTime);
}

TEST(TestClock, OfEachSubscriptionIsItsOwn) {
  Subscription other = on_clock("active", "clock_2");
  other.id = "sub_2";
  Subscription real = on_clock("active", "");
  real.id = "sub_3";
  AccessRules rules;
  rules.clocks = std::make_shared<const TestClocks>(
      TestClocks{{"clock_1", {kSlackEnd, false}}, {"clock_2", {kStart, false}}});
  const UserState state = judge_user({on_clock(), other, real}, rules, instant(kEnd));
  EXPECT_EQ(state.each[0].reason, "renewal_not_confirmed");
  EXPECT_EQ(state.each[1].reason, "active");
  EXPECT_EQ(state.each[2].reason, "awaiting_renewal");
  EXPECT_EQ(state.each[2].frozen_time, std::nullopt);
  EXPECT_EQ(state.valid_until, instant(kSlackEnd));
}

TEST(TestClock, ThatNobodyHasToldOfCountsForNothing) {
  const SubscriptionState state = judge(on_clock("active", "clock_9"), with_clock(kStart), instant(kEnd));
  EXPECT_EQ(state.reason, "awaiting_renewal");
  EXPECT_EQ(state.frozen_time, std::nullopt);
  EXPECT_EQ(judge(on_clock(), {}, instant(kEnd)).reason, "awaiting_renewal");
  EXPECT_EQ(judge(on_clock(), with_clock(kStart).without_clocks(), instant(kEnd)).reason, "awaiting_renewal");
}

TEST(TestClock, ThatIsDeletedTakesItsCustomersWithIt) {
  const SubscriptionState state = judge(on_clock(), with_clock(kStart, true), instant(kStart));
  EXPECT_FALSE(state.has_access);
  EXPECT_EQ(state.reason, "customer_deleted");
}

TEST(TestClock, IsNeverSetBack) {
  std::vector<Event> events = {clock_event("evt_4", "created", "ready", kStart),
                               clock_event("evt_3", "advancing", "advancing", kStart),
                               clock_event("evt_2", "advancing", "advancing", kEnd),
                               clock_event("evt_1", "ready", "ready", kEnd)};
  std::sort(events.begin(), events.end(), [](const Event& a, const Event& b) { return a.id < b.id; });
  do {
    std::vector<const Event*> all;
    for (const Event& event : events) {
      all.push_back(&event);
      const LastOfSecond last = last_of_second(all);
      EXPECT_TRUE(last.certain);
    }
    EXPECT_EQ(last_of_second(all).event->id, "evt_1");
  } while (std::next_permutation(events.begin(), events.end(),
                                 [](const Event& a, const Event& b) { return a.id < b.id; }));
}

TEST(TestClock, IsNamedWhereTheStateIsShown) {
  const std::vector<Subscription> all = {on_clock()};
  const Json state = state_json("user_1", all, judge_user(all, with_clock(kStart), instant(kEnd)));
  const Json expected = {{"id", "clock_1"}, {"frozen_time", iso_time(kStart)}};
  EXPECT_EQ(state["test_clock"], expected);
  EXPECT_EQ(state["subscriptions"][0]["test_clock"], expected);
  EXPECT_FALSE(state_json("user_1", all, judge_user(all, {}, instant(kEnd))).contains("test_clock"));
}

}  // namespace
}  // namespace billing
