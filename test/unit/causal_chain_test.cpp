// The order of events within one second: found from what they changed, never guessed without saying so.
#include "core/causal_chain.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <set>

#include "fixtures.hpp"

namespace billing {
namespace {

// What previous_attributes says of a change, as Stripe writes it: changed members of objects, arrays whole,
// null for what was absent.
Json difference(const Json& before, const Json& after) {
  Json changed = Json::object();
  for (const auto& [key, value] : after.items()) {
    const Json& old = at(before, key.c_str());
    if (old == value) continue;
    changed[key] = old.is_object() && value.is_object() ? difference(old, value) : old;
  }
  for (const auto& [key, value] : before.items())
    if (!after.contains(key)) changed[key] = value;
  return changed;
}

Event update(const std::string& id, const Json& before, const Json& after) {
  Event event;
  event.id = id;
  event.type = "customer.subscription.updated";
  event.created = fixtures::kStart;
  event.api_version = "2025-10-29.clover";
  event.object = after;
  event.object_type = "subscription";
  event.object_id = "sub_1";
  event.previous_attributes = difference(before, after);
  return event;
}

Event created(const std::string& id, const Json& object) {
  Event event = update(id, object, object);
  event.type = "customer.subscription.created";
  event.previous_attributes = nullptr;
  return event;
}

Json snapshot(const std::string& status, int quantity = 1) {
  Json object = fixtures::new_subscription();
  object["status"] = status;
  object["quantity"] = quantity;
  return object;
}

std::vector<const Event*> pointers(const std::vector<Event>& events) {
  std::vector<const Event*> all;
  for (const Event& event : events) all.push_back(&event);
  return all;
}

TEST(CausalChain, TheEndOfTheChainIsTheLastState) {
  // By rank alone the quantity of 7 would win for its id, and past_due over active for its place in life.
  const std::vector<Event> events = {update("evt_9", snapshot("active", 1), snapshot("past_due", 7)),
                                     update("evt_5", snapshot("past_due", 7), snapshot("active", 7)),
                                     update("evt_1", snapshot("active", 7), snapshot("active", 3))};
  for (auto order : {std::vector{0, 1, 2}, {2, 1, 0}, {1, 2, 0}}) {
    std::vector<const Event*> shuffled;
    for (const int i : order) shuffled.push_back(&events[static_cast<std::size_t>(i)]);
    const LastOfSecond last = last_of_second(shuffled);
    EXPECT_TRUE(last.certain);
    EXPECT_EQ(last.event->id, "evt_1");
  }
}

TEST(CausalChain, CreatedIsTheHead) {
  const std::vector<Event> events = {created("evt_9", snapshot("incomplete")),
                                     update("evt_1", snapshot("incomplete"), snapshot("active"))};
  EXPECT_EQ(last_of_second(pointers(events)).event->id, "evt_1");
  EXPECT_TRUE(last_of_second(pointers(events)).certain);
}

TEST(CausalChain, MembersThatWereAbsentAreListedAsNull) {
  Json before = snapshot("active");
  before["metadata"] = Json::object();
  Json after = before;
  after["metadata"]["test"] = "1";
  after["pause_collection"] = {{"behavior", "void"}};
  const std::vector<Event> events = {update("evt_9", snapshot("trialing"), before),
                                     update("evt_1", before, after)};
  EXPECT_EQ(last_of_second(pointers(events)).event->id, "evt_1");
  EXPECT_TRUE(last_of_second(pointers(events)).certain);
}

TEST(CausalChain, TheSameSnapshotUnderTwoIdsCountsOnce) {
  const std::vector<Event> events = {update("evt_1", snapshot("trialing"), snapshot("active")),
                                     update("evt_2", snapshot("trialing"), snapshot("active"))};
  EXPECT_EQ(last_of_second(pointers(events)).event->id, "evt_2");
  EXPECT_TRUE(last_of_second(pointers(events)).certain);
}

TEST(CausalChain, AMissingLinkIsUncertain) {
  const std::vector<Event> events = {update("evt_1", snapshot("trialing"), snapshot("active")),
                                     update("evt_2", snapshot("active", 5), snapshot("active", 6))};
  EXPECT_FALSE(last_of_second(pointers(events)).certain);
}

TEST(CausalChain, ThereAndBackAgainIsUncertain) {
  const std::vector<Event> events = {update("evt_1", snapshot("active", 1), snapshot("active", 2)),
                                     update("evt_2", snapshot("active", 2), snapshot("active", 1))};
  EXPECT_FALSE(last_of_second(pointers(events)).certain);
}

TEST(CausalChain, TwoEndsAreUncertain) {
  const std::vector<Event> events = {update("evt_1", snapshot("active", 1), snapshot("active", 2)),
                                     update("evt_2", snapshot("active", 2), snapshot("active", 3)),
                                     update("evt_3", snapshot("active", 2), snapshot("active", 4))};
  EXPECT_FALSE(last_of_second(pointers(events)).certain);
}

TEST(CausalChain, SnapshotsOfTwoVersionsAreNotCompared) {
  std::vector<Event> events = {update("evt_1", snapshot("trialing"), snapshot("active")),
                               update("evt_2", snapshot("active"), snapshot("active", 2))};
  events[0].api_version = "2020-08-27";
  EXPECT_FALSE(last_of_second(pointers(events)).certain);
}

TEST(CausalChain, WithoutAChainTheRankDecides) {
  Event paid = update("evt_1", snapshot("trialing"), snapshot("active"));
  Event reminder = update("evt_2", snapshot("trialing"), snapshot("trialing", 2));
  reminder.previous_attributes = nullptr;
  const LastOfSecond last = last_of_second({&reminder, &paid});
  EXPECT_FALSE(last.certain);
  EXPECT_EQ(last.event->id, "evt_1");
}

// A random life within one second, with true previous_attributes and ids that tell nothing.
struct Second {
  std::vector<Event> events;
  Json last;
};

Second random_second() {
  Second second;
  Json now = snapshot(*rc::gen::element<std::string>("incomplete", "trialing", "active"));
  const bool with_created = *rc::gen::arbitrary<bool>();
  const int length = *rc::gen::inRange(1, 7);
  std::vector<int> ids;
  for (int i = 0; i <= length; ++i) ids.push_back(i);
  ids = *rc::gen::exec([ids] {
    std::vector<int> shuffled = ids;
    for (std::size_t i = shuffled.size(); i > 1; --i)
      std::swap(shuffled[i - 1],
                shuffled[static_cast<std::size_t>(*rc::gen::inRange(0, static_cast<int>(i)))]);
    return shuffled;
  });
  if (with_created) second.events.push_back(created("evt_" + std::to_string(ids[0]), now));
  for (int i = 1; i <= length; ++i) {
    Json next = now;
    switch (*rc::gen::inRange(0, 5)) {
      case 0:
        next["status"] = *rc::gen::element<std::string>("active", "past_due", "trialing");
        break;
      case 1:
        next["quantity"] = *rc::gen::inRange(1, 4);
        break;
      case 2:
        next["metadata"]["k"] = std::to_string(*rc::gen::inRange(0, 3));
        break;
      case 3:
        next["cancel_at_period_end"] = *rc::gen::arbitrary<bool>();
        break;
      default:
        next["pause_collection"] = *rc::gen::arbitrary<bool>() ? Json{{"behavior", "void"}} : Json(nullptr);
    }
    if (next == now) continue;
    second.events.push_back(update("evt_" + std::to_string(ids[static_cast<std::size_t>(i)]), now, next));
    now = next;
  }
  if (second.events.empty()) second.events.push_back(created("evt_0", now));
  second.last = now;
  return second;
}

std::vector<const Event*> shuffled(std::vector<const Event*> events) {
  for (std::size_t i = events.size(); i > 1; --i)
    std::swap(events[i - 1], events[static_cast<std::size_t>(*rc::gen::inRange(0, static_cast<int>(i)))]);
  return events;
}

RC_GTEST_PROP(CausalChainProperty, EveryOrderGivesTheSame, ()) {
  const Second second = random_second();
  const LastOfSecond one = last_of_second(shuffled(pointers(second.events)));
  const LastOfSecond other = last_of_second(shuffled(pointers(second.events)));
  RC_ASSERT(one.event == other.event);
  RC_ASSERT(one.certain == other.certain);
}

RC_GTEST_PROP(CausalChainProperty, WhatIsCertainIsTrue, ()) {
  const Second second = random_second();
  const LastOfSecond last = last_of_second(shuffled(pointers(second.events)));
  RC_TAG(last.certain ? "certain" : "uncertain");
  if (last.certain) RC_ASSERT(to_text(last.event->object) == to_text(second.last));
}

bool every_state_differs(const Second& second) {
  std::set<std::string> states;
  std::size_t expected = second.events.size();
  for (const Event& event : second.events) states.insert(to_text(event.object));
  const Event& first = second.events.front();
  if (first.previous_attributes.is_object()) {
    states.insert(to_text(object_before(first)));
    ++expected;
  }
  return states.size() == expected;
}

RC_GTEST_PROP(CausalChainProperty, ALifeWithoutRepetitionIsCertain, ()) {
  const Second second = random_second();
  RC_PRE(every_state_differs(second));
  RC_ASSERT(last_of_second(shuffled(pointers(second.events))).certain);
}

// Losing an event in the middle must not make a wrong answer look certain. Where a state repeats nobody could
// tell: without the middle of A, B, C, A what is left reads like C, A, B.
RC_GTEST_PROP(CausalChainProperty, AMissingEventNeverMakesAWrongAnswerCertain, ()) {
  const Second second = random_second();
  RC_PRE(second.events.size() > 1U);
  RC_PRE(every_state_differs(second));
  const auto missing =
      static_cast<std::size_t>(*rc::gen::inRange(0, static_cast<int>(second.events.size()) - 1));
  std::vector<const Event*> rest;
  for (std::size_t i = 0; i < second.events.size(); ++i)
    if (i != missing) rest.push_back(&second.events[i]);
  const LastOfSecond last = last_of_second(rest);
  if (last.certain) RC_ASSERT(to_text(last.event->object) == to_text(second.last));
}

}  // namespace
}  // namespace billing
