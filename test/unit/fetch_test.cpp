// Fetches as events, and where they stand among Stripe's.
#include "core/fetch.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "core/causal_chain.hpp"
#include "core/ordering.hpp"

namespace billing {
namespace {

Json subscription(const char* status, int quantity = 1) {
  return {{"id", "sub_1"},
          {"object", "subscription"},
          {"customer", "cus_1"},
          {"status", status},
          {"quantity", quantity}};
}

Event fetched(Seconds began, Json object) {
  return parse_event(fetch_payload(
      {"fetch_0000000000000000001", began, "2025-10-29.clover", "acct_1", true, std::move(object)}));
}

TEST(Fetch, IsAnEventLikeStripes) {
  const Event event = fetched(1'795'000'000, subscription("active"));
  EXPECT_EQ(event.type, "customer.subscription.updated");
  EXPECT_EQ(event.created, 1'795'000'000);
  EXPECT_EQ(event.account, "acct_1");
  EXPECT_EQ(event.api_version, "2025-10-29.clover");
  EXPECT_TRUE(event.livemode);
  EXPECT_EQ(event.object, subscription("active"));
  EXPECT_TRUE(is_fetch(event));
}

TEST(Fetch, IsCalledAsStripeTellsOfSuchAnObject) {
  const auto type = [](const char* object, const char* status) {
    return event_type_of({{"object", object}, {"status", status}});
  };
  EXPECT_EQ(type("subscription", "canceled"), "customer.subscription.deleted");
  EXPECT_EQ(type("subscription", "past_due"), "customer.subscription.updated");
  EXPECT_EQ(type("invoice", "paid"), "invoice.paid");
  EXPECT_EQ(type("invoice", "open"), "invoice.updated");
  EXPECT_EQ(type("checkout.session", "complete"), "checkout.session.completed");
  EXPECT_EQ(type("price", ""), "price.updated");
  EXPECT_EQ(event_type_of({{"object", "customer"}, {"id", "cus_1"}, {"deleted", true}}), "customer.deleted");
}

TEST(Fetch, SaysWhenAnImportBroughtIt) {
  EXPECT_FALSE(fetched(1'795'000'000, subscription("active")).import);
  Fetch fetch{"fetch_0000000000000000001", 1'795'000'000, "2025-10-29.clover", "", false,
              subscription("trialing")};
  fetch.object["trial_start"] = 1'794'000'000;
  fetch.import = ImportTerms{1'795'000'007, true};
  Event event = parse_event(fetch_payload(fetch));
  ASSERT_TRUE(event.import);
  EXPECT_EQ(event.import->began, 1'795'000'007);
  EXPECT_TRUE(event.import->current_period);
  EXPECT_FALSE(begins_trial(event));
  fetch.import->current_period = false;
  EXPECT_FALSE(parse_event(fetch_payload(fetch)).import->current_period);
  // Only what we have fetched: an event of Stripe's says nothing of imports, whatever it says.
  fetch.id = "evt_1";
  EXPECT_FALSE(parse_event(fetch_payload(fetch)).import);
}

TEST(Fetch, KnowsListsThatAreCutShort) {
  Json object = subscription("active");
  EXPECT_FALSE(has_truncated_list(object));
  object["items"] = {{"object", "list"}, {"data", Json::array()}, {"has_more", false}};
  EXPECT_FALSE(has_truncated_list(object));
  object["items"]["has_more"] = true;
  EXPECT_TRUE(has_truncated_list(object));
}

Event told(Seconds created, int quantity) {
  Event event = fetched(created, subscription("active", quantity));
  event.id = "evt_" + std::to_string(quantity);
  return event;
}

RC_GTEST_PROP(Fetch, BeatsWhatWasBeforeAndLosesToWhatIsLater, ()) {
  const Seconds began = *rc::gen::inRange<Seconds>(1, 1000);
  const Seconds created = *rc::gen::inRange<Seconds>(1, 1000);
  RC_PRE(created != began);
  RC_ASSERT((rank_of(fetched(began, subscription("active"))) > rank_of(told(created, 2))) ==
            (created < began));
}

TEST(Fetch, LeavesItsOwnSecondOpenUnlessItSaysTheSame) {
  const Event event = told(7, 2);
  const Event same = fetched(7, subscription("active", 2));
  const Event other = fetched(7, subscription("active", 3));
  EXPECT_TRUE(last_of_second({&event, &same}).certain);
  EXPECT_FALSE(last_of_second({&event, &other}).certain);
}

}  // namespace
}  // namespace billing
