// Which snapshot is the later one: a total order, whose maximum no order of arrival can change.
#include "core/ordering.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "generators.hpp"

namespace billing {
namespace {

using fixtures::event;
using fixtures::kStart;

Event subscription_event(const std::string& type, const std::string& status, Seconds created = kStart,
                         const std::string& id = "evt_1") {
  Json object = fixtures::new_subscription();
  object["status"] = status;
  Json json = fixtures::event_json("customer.subscription." + type, object);
  json["created"] = created;
  json["id"] = id;
  return parse_event(to_text(json));
}

Rank rank(const std::string& type, const std::string& status, Seconds created = kStart,
          const std::string& id = "evt_1") {
  return rank_of(subscription_event(type, status, created, id));
}

TEST(Ordering, LaterSecondWins) {
  EXPECT_LT(rank("updated", "past_due", kStart), rank("updated", "active", kStart + 1));
}

TEST(Ordering, DeletionAbsorbsForEver) {
  EXPECT_GT(rank("deleted", "canceled", kStart), rank("updated", "active", kStart + 1000));
  EXPECT_GT(rank("deleted", "canceled", kStart), rank("updated", "canceled", kStart + 1000));
  EXPECT_EQ(rank("deleted", "active").finality, 2);
  EXPECT_EQ(rank_of(event("customer.deleted", {{"id", "cus_1"}, {"object", "customer"}})).finality, 2);
}

TEST(Ordering, TerminalStatusAbsorbsLiveOnes) {
  EXPECT_GT(rank("updated", "incomplete_expired", kStart), rank("updated", "active", kStart + 1000));
  EXPECT_GT(rank("updated", "canceled", kStart), rank("created", "active", kStart + 1000));
}

TEST(Ordering, CreatedIsTheFirstOfItsSecond) {
  EXPECT_LT(rank("created", "active", kStart, "evt_9"), rank("updated", "incomplete", kStart, "evt_1"));
  EXPECT_LT(rank("updated", "active", kStart - 1), rank("created", "active", kStart));
}

TEST(Ordering, WithinASecondTheLifeDecidesThenTheId) {
  EXPECT_LT(rank("updated", "trialing", kStart, "evt_9"), rank("updated", "active", kStart, "evt_1"));
  EXPECT_LT(rank("updated", "active", kStart, "evt_9"), rank("updated", "past_due", kStart, "evt_1"));
  EXPECT_LT(rank("updated", "active", kStart, "evt_1"), rank("updated", "active", kStart, "evt_2"));
  EXPECT_LT(rank("updated", "active", kStart, "evt_Z"), rank("updated", "active", kStart, "evt_a"));
}

TEST(Ordering, EmbeddedObjectsRankBelowTheirOwnEvents) {
  Rank embedded;
  embedded.created = kStart;
  embedded.event_id = "evt_9";
  EXPECT_LT(embedded, rank("created", "incomplete"));
}

TEST(Ordering, TerminalStatuses) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> terminal = {
      {"subscription", {"canceled", "incomplete_expired"}},
      {"invoice", {"paid", "void"}},
      {"payment_intent", {"succeeded", "canceled"}},
      {"setup_intent", {"succeeded", "canceled"}},
      {"checkout.session", {"complete", "expired"}},
      {"subscription_schedule", {"completed", "canceled", "released"}},
      {"refund", {"failed", "canceled"}}};
  for (const auto& [type, statuses] : terminal) {
    for (const std::string& status : statuses)
      EXPECT_TRUE(is_terminal(type, {{"status", status}})) << type << status;
  }
  const std::vector<std::pair<std::string, std::vector<std::string>>> live = {
      {"subscription", {"incomplete", "trialing", "active", "past_due", "unpaid", "paused", "frozen", ""}},
      {"invoice", {"draft", "open", "uncollectible", "deleted"}},
      {"payment_intent", {"processing", "requires_action", "requires_capture"}},
      {"setup_intent", {"requires_payment_method", "processing"}},
      {"checkout.session", {"open"}},
      {"subscription_schedule", {"not_started", "active"}},
      {"refund", {"pending", "requires_action", "succeeded"}},
      {"charge", {"succeeded", "failed"}},
      {"dispute", {"won", "lost", "needs_response"}},
      {"customer", {"canceled"}},
      {"", {"canceled"}}};
  for (const auto& [type, statuses] : live) {
    for (const std::string& status : statuses)
      EXPECT_FALSE(is_terminal(type, {{"status", status}})) << type << status;
  }
}

TEST(Ordering, StatusesOfTheWrongTypeHaveNoPlace) {
  for (const Json& object :
       {Json(), Json{{"status", nullptr}}, Json{{"status", 5}}, Json{{"status", {"canceled"}}}}) {
    EXPECT_FALSE(is_terminal("subscription", object));
    EXPECT_EQ(lifecycle_rank("subscription", object), 0);
  }
  EXPECT_EQ(lifecycle_rank("subscription", {{"status", "frozen"}}), 0);
  EXPECT_EQ(lifecycle_rank("product", {{"status", "active"}}), 0);
}

TEST(Ordering, LifeRunsForward) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> lives = {
      {"subscription", {"incomplete", "trialing", "active", "past_due", "unpaid", "canceled"}},
      {"subscription", {"trialing", "paused", "active"}},
      {"invoice", {"draft", "open", "uncollectible", "paid"}},
      {"payment_intent", {"requires_payment_method", "requires_action", "processing", "succeeded"}},
      {"charge", {"pending", "succeeded"}},
      {"refund", {"pending", "succeeded", "failed"}},
      {"dispute", {"needs_response", "under_review", "lost"}},
      {"checkout.session", {"open", "complete"}},
      {"subscription_schedule", {"not_started", "active", "completed"}},
      {"invoice_payment", {"open", "paid"}}};
  for (const auto& [type, statuses] : lives) {
    int previous = 0;
    for (const std::string& status : statuses) {
      const int current = lifecycle_rank(type, {{"status", status}});
      EXPECT_GT(current, previous) << type << " " << status;
      previous = current;
    }
  }
}

TEST(Ordering, ThinEventsRankByTheirTimeAlone) {
  const Event thin = parse_event(
      R"({"id":"e","object":"v2.core.event","type":"t.updated","created":"2026-01-01T00:00:00Z",
          "related_object":{"id":"sub_1","type":"subscription"}})");
  EXPECT_EQ(rank_of(thin), (Rank{0, kStart, 2, 0, "e"}));
}

rc::Gen<Rank> any_rank() {
  return rc::gen::exec([] {
    const std::string type =
        *rc::gen::element<std::string>("created", "updated", "deleted", "trial_will_end");
    const std::string id = "evt_" + std::to_string(*rc::gen::inRange(0, 30));
    Rank result = rank(type, *generators::status(), kStart + *rc::gen::inRange(0, 3), id);
    if (*rc::gen::inRange(0, 5) == 0) result.origin = 0;
    return result;
  });
}

RC_GTEST_PROP(OrderingProperty, MaximumIgnoresOrderAndDuplication, ()) {
  const std::vector<Rank> events = *rc::gen::mapcat(
      rc::gen::inRange(1, 6), [](int n) { return rc::gen::container<std::vector<Rank>>(n, any_rank()); });
  const Rank expected = *std::max_element(events.begin(), events.end());
  std::vector<Rank> delivered = events;
  for (int left = *rc::gen::inRange(0, 4); left > 0; --left) delivered.push_back(*rc::gen::elementOf(events));
  for (std::size_t i = delivered.size() - 1; i > 0; --i) {
    std::swap(delivered[i], delivered[*rc::gen::inRange<std::size_t>(0, i + 1)]);
  }
  Rank kept = delivered.front();
  for (const Rank& one : delivered) {
    if (one > kept) kept = one;
  }
  RC_ASSERT(kept == expected);
}

RC_GTEST_PROP(OrderingProperty, OrderIsTotal, ()) {
  const Rank a = *any_rank();
  const Rank b = *any_rank();
  const Rank c = *any_rank();
  RC_ASSERT((a < b) + (a == b) + (a > b) == 1);
  if (a < b && b < c) RC_ASSERT(a < c);
  if (a.event_id != b.event_id) RC_ASSERT(a != b);
}

}  // namespace
}  // namespace billing
