// A payload becomes an event, or a message that says why not.
#include "core/event.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "generators.hpp"

namespace billing {
namespace {

using fixtures::event;
using fixtures::event_json;
using fixtures::kStart;

std::string message_of(const Json& payload) {
  try {
    parse_event(to_text(payload));
  } catch (const EventError& error) {
    return error.what();
  }
  return "";
}

std::string message_without(const char* key) {
  Json json = event_json("customer.updated", {{"id", "cus_1"}});
  json.erase(key);
  return message_of(json);
}

std::string message_with(const char* key, const Json& value) {
  Json json = event_json("customer.updated", {{"id", "cus_1"}});
  json[key] = value;
  return message_of(json);
}

TEST(Event, ReadsWhatEveryRuleNeeds) {
  Json json = event_json("customer.subscription.updated", fixtures::new_subscription());
  json["account"] = "acct_1";
  json["data"]["previous_attributes"] = {{"status", "incomplete"}};
  const Event read = parse_event(to_text(json));
  EXPECT_EQ(read.id, "evt_1");
  EXPECT_EQ(read.type, "customer.subscription.updated");
  EXPECT_EQ(read.created, kStart);
  EXPECT_EQ(read.api_version, "2025-10-29.clover");
  EXPECT_TRUE(read.livemode);
  EXPECT_EQ(read.account, "acct_1");
  EXPECT_EQ(read.object, fixtures::new_subscription());
  EXPECT_EQ(read.previous_attributes, Json({{"status", "incomplete"}}));
  EXPECT_EQ(read.object_type, "subscription");
  EXPECT_EQ(read.object_id, "sub_1");
  EXPECT_EQ(read.customer_id, "cus_1");
  EXPECT_FALSE(read.thin);
}

TEST(Event, OptionalMembersMayBeNullOrAbsent) {
  const Event bare = parse_event(R"({"id":"evt_1","type":"ping","created":0})");
  EXPECT_EQ(bare.api_version, "");
  EXPECT_EQ(bare.account, "");
  EXPECT_FALSE(bare.livemode);
  EXPECT_TRUE(bare.object.is_null());
  EXPECT_TRUE(bare.previous_attributes.is_null());
  EXPECT_EQ(bare.object_type, "");
  EXPECT_EQ(bare.object_id, "");
  EXPECT_EQ(bare.customer_id, "");
  const Event nulls = parse_event(
      R"({"id":"e","type":"t","created":1,"api_version":null,"account":null,"data":{"object":null},"request":"req_1"})");
  EXPECT_TRUE(nulls.object.is_null());
}

TEST(Event, MembersOfTheWrongTypeAreAsIfAbsent) {
  const Event odd = parse_event(
      R"({"id":"e","type":"t","created":1,"api_version":5,"account":{},"livemode":"yes","data":[1]})");
  EXPECT_EQ(odd.api_version, "");
  EXPECT_EQ(odd.account, "");
  EXPECT_FALSE(odd.livemode);
  EXPECT_TRUE(odd.object.is_null());
  const Event text =
      parse_event(R"({"id":"e","type":"t","created":1,"data":{"object":"sub_1","previous_attributes":[]}})");
  EXPECT_TRUE(text.object.is_null());
  EXPECT_TRUE(text.previous_attributes.is_null());
  EXPECT_EQ(event("t", {{"id", 5}, {"object", 6}, {"customer", 7}}).object_id, "");
}

TEST(Event, CustomerOfTheObject) {
  EXPECT_EQ(event("customer.updated", {{"id", "cus_1"}, {"object", "customer"}}).customer_id, "cus_1");
  EXPECT_EQ(
      event("customer.deleted", {{"id", "cus_1"}, {"object", "customer"}, {"deleted", true}}).customer_id,
      "cus_1");
  EXPECT_EQ(event("invoice.paid", {{"object", "invoice"}, {"customer", {{"id", "cus_2"}}}}).customer_id,
            "cus_2");
  EXPECT_EQ(event("payment_intent.created", {{"id", "pi_1"}, {"customer", nullptr}}).customer_id, "");
  // A guest's payment stands for its payer.
  EXPECT_EQ(
      event("payment_intent.created", {{"id", "pi_1"}, {"object", "payment_intent"}, {"customer", nullptr}})
          .customer_id,
      "pi_1");
  EXPECT_EQ(
      event("customer.discount.created", {{"id", "di_1"}, {"object", "discount"}, {"customer", "cus_1"}})
          .customer_id,
      "cus_1");
}

TEST(Event, ObjectsWithoutAnIdHaveNoKey) {
  const Event upcoming = event("invoice.upcoming", {{"object", "invoice"}, {"customer", "cus_1"}});
  EXPECT_EQ(upcoming.object_id, "");
  EXPECT_EQ(upcoming.customer_id, "cus_1");
  EXPECT_EQ(event("customer.discount.deleted", {{"id", ""}, {"object", "discount"}}).object_id, "");
}

TEST(Event, APaymentMethodIsOfTheCustomerThatItWasDetachedFrom) {
  const Json method = {{"id", "pm_1"}, {"object", "payment_method"}, {"customer", nullptr}};
  EXPECT_EQ(fixtures::update("payment_method.detached", method, {{"customer", "cus_1"}}).customer_id,
            "cus_1");
  EXPECT_EQ(fixtures::update("payment_method.updated", method, {{"customer", nullptr}}).customer_id, "");
  const Json charge = {{"id", "ch_1"}, {"object", "charge"}, {"customer", nullptr}};
  EXPECT_EQ(fixtures::update("charge.updated", charge, {{"customer", "cus_1"}}).customer_id, "ch_1");
}

TEST(Event, EntitlementSummariesAreKeyedByTheirCustomer) {
  const Event summary = event("entitlements.active_entitlement_summary.updated",
                              {{"object", "entitlements.active_entitlement_summary"}, {"customer", "cus_1"}});
  EXPECT_EQ(summary.object_id, "cus_1");
  EXPECT_EQ(summary.customer_id, "cus_1");
}

TEST(Event, IdsMayHoldAnything) {
  EXPECT_EQ(
      event("payment_method.updated", {{"id", "pm_1M9HtjJDP..."}, {"customer", "cus_Mt3..."}}).object_id,
      "pm_1M9HtjJDP...");
  const Event wide = parse_event(R"({"id":"evt_\u0000","type":"t","created":1})");
  EXPECT_EQ(wide.id, "evt_\xef\xbf\xbd");
}

TEST(Event, ThinEventsNameTheirObject) {
  const Event thin = parse_event(
      R"({"id":"evt_test_1","object":"v2.core.event","type":"v1.billing.meter.error_report_triggered",
          "created":"2026-01-01T00:00:00.999Z","livemode":false,"context":"acct_1",
          "related_object":{"id":"mtr_1","type":"billing.meter","url":"/v1/billing/meters/mtr_1"}})");
  EXPECT_TRUE(thin.thin);
  EXPECT_EQ(thin.created, kStart);
  EXPECT_EQ(thin.account, "acct_1");
  EXPECT_TRUE(thin.object.is_null());
  EXPECT_EQ(thin.object_type, "billing.meter");
  EXPECT_EQ(thin.object_id, "mtr_1");
  EXPECT_EQ(thin.customer_id, "");
}

TEST(Event, ThinEventsMayLackARelatedObject) {
  const Event thin =
      parse_event(R"({"id":"e","object":"v2.core.event","type":"t","created":"2026-01-01T00:00:00Z"})");
  EXPECT_EQ(thin.object_id, "");
  EXPECT_THROW(parse_event(R"({"id":"e","object":"v2.core.event","type":"t","created":"soon"})"), EventError);
  EXPECT_THROW(parse_event(R"({"id":"e","object":"event","type":"t","created":"2026-01-01T00:00:00Z"})"),
               EventError);
}

TEST(Event, MessagesSayWhatIsWrong) {
  EXPECT_EQ(message_of(Json::array()), "event is array instead of an object");
  EXPECT_EQ(message_of("evt_1"), "event is string instead of an object");
  EXPECT_EQ(message_without("id"), "event has no \"id\"");
  EXPECT_EQ(message_with("id", nullptr), "event has no \"id\"");
  EXPECT_EQ(message_with("id", 5), "event \"id\" is number instead of text");
  EXPECT_EQ(message_with("id", ""), "event \"id\" is empty");
  EXPECT_EQ(message_with("id", std::string(256, 'x')), "id is 256 bytes long, at most 255 are allowed");
  EXPECT_EQ(message_with("id", std::string(255, 'x')), "");
  EXPECT_EQ(message_without("type"), "event has no \"type\"");
  EXPECT_EQ(message_with("type", ""), "event \"type\" is empty");
  EXPECT_EQ(message_with("type", std::string(256, 'x')), "type is 256 bytes long, at most 255 are allowed");
  EXPECT_EQ(message_without("created"), "event has no \"created\"");
  EXPECT_EQ(message_with("created", "1767225600"), "event \"created\" is not a time: \"1767225600\"");
  EXPECT_EQ(message_with("created", -1), "event \"created\" is not a time: -1");
  EXPECT_EQ(message_with("created", 1.5), "event \"created\" is not a time: 1.5");
  EXPECT_EQ(message_with("created", kLastSecond + 1), "event \"created\" is not a time: 253402300800");
  EXPECT_EQ(message_with("created", kLastSecond), "");
}

TEST(Event, KeysThatNoIndexHoldsAreRefused) {
  const std::string wide(256, 'x');
  for (const char* key : {"id", "object", "customer"}) {
    EXPECT_NE(message_with("data", {{"object", {{key, wide}}}}), "") << key;
  }
  EXPECT_NE(message_with("account", wide), "");
  const Json charge = {{"id", "ch_1"}, {"object", "charge"}, {"payment_intent", wide}};
  EXPECT_EQ(message_with("data", {{"object", charge}}),
            "id of what the object belongs to is 256 bytes long, at most 255 are allowed");
}

TEST(Event, NotJsonAtAll) {
  for (const char* text : {"", "{", "null x", "\xff", "{\"id\":}"})
    EXPECT_THROW(parse_event(text), EventError) << text;
  EXPECT_THROW(parse_event(std::string(1000, '[')), EventError);
}

TEST(Event, DerivedIdDependsOnEveryByte) {
  EXPECT_EQ(derived_event_id(""),
            "unidentified_e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(derived_event_id("abc"),
            "unidentified_ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_NE(derived_event_id("{}"), derived_event_id("{} "));
}

TEST(Event, Deletions) {
  EXPECT_TRUE(is_deletion("customer.deleted"));
  EXPECT_TRUE(is_deletion("customer.subscription.deleted"));
  EXPECT_TRUE(is_deletion("customer.discount.deleted"));
  for (const char* type :
       {"deleted", "customer.updated", "customer.undeleted", "payment_method.detached", ""}) {
    EXPECT_FALSE(is_deletion(type)) << type;
  }
}

EventHeader peek(const Json& payload) { return peek_event(to_text(payload)); }

TEST(EventHeader, Peeks) {
  const EventHeader header = peek(event_json("customer.subscription.updated", fixtures::new_subscription()));
  EXPECT_EQ(header.id, "evt_1");
  EXPECT_EQ(header.type, "customer.subscription.updated");
  EXPECT_EQ(header.object_id, "sub_1");
  EXPECT_EQ(header.customer_id, "cus_1");
}

TEST(EventHeader, UnusablePayloadsPeekEmpty) {
  for (const std::string text :
       {"", "{", "[]", "null", "{\"id\":\"evt_1\"", "{\"id\":\"evt_1\"} x", "\xff"}) {
    const EventHeader header = peek_event(text);
    EXPECT_EQ(header.id + header.type + header.object_id + header.customer_id, "") << text;
  }
  EXPECT_EQ(peek_event(std::string(100'000, '[')).id, "");
  EXPECT_EQ(peek({{"id", std::string(256, 'x')}}).id, "");
  EXPECT_EQ(peek_event(R"({"id":"evt_1","note":"\ud800 \u0000"})").id, "evt_1");
}

TEST(EventHeader, LastOfDuplicateKeysWins) {
  const EventHeader header = peek_event(
      R"({"id":"a","id":"b","type":"t","created":1,"data":{"object":{"id":"x","customer":"cus_1"}},"data":{"object":{}}})");
  EXPECT_EQ(header.id, "b");
  EXPECT_EQ(header.object_id, "");
  EXPECT_EQ(header.customer_id, "");
  const EventHeader nested =
      peek_event(R"({"data":{"object":{"customer":{"id":"cus_1"},"customer":"cus_2"}}})");
  EXPECT_EQ(nested.customer_id, "cus_2");
}

TEST(EventHeader, ThinEventsAreReadByTheirRelatedObject) {
  const EventHeader thin = peek_event(
      R"({"id":"evt_1","object":"v2.core.event","type":"t","created":"2026-01-01T00:00:00Z",
          "related_object":{"id":"mtr_1","type":"billing.meter"},"data":{"object":{"id":"x","customer":"cus_1"}}})");
  EXPECT_EQ(thin.object_id, "mtr_1");
  EXPECT_EQ(thin.customer_id, "");
}

TEST(EventHeader, MembersElsewhereDoNotCount) {
  const EventHeader header = peek_event(
      R"({"a":{"id":"x","data":{"object":{"id":"x"}}},"l":[{"id":"x"}],"data":[{"object":{"id":"x"}}],"id":"evt_1"})");
  EXPECT_EQ(header.id, "evt_1");
  EXPECT_EQ(header.object_id, "");
}

void expect_same_as_parsed(const Json& payload) {
  const std::string text = to_text(payload);
  const EventHeader header = peek_event(text);
  try {
    const Event parsed = parse_event(text);
    RC_ASSERT(header.id == parsed.id);
    RC_ASSERT(header.type == parsed.type);
    RC_ASSERT(header.object_id == parsed.object_id);
    RC_ASSERT(header.customer_id == parsed.customer_id);
  } catch (const EventError&) {
  }
}

TEST(Trial, BeginsWithTheSubscriptionOrTheUpdateThatAddsIt) {
  const auto begins = [](const char* type, const Json& start, const Json& previous) {
    Json subscription = fixtures::new_subscription();
    subscription["trial_start"] = start;
    Json payload = event_json(type, subscription);
    if (!previous.is_null()) payload["data"]["previous_attributes"] = previous;
    return begins_trial(parse_event(to_text(payload)));
  };
  const Json added = {{"trial_start", nullptr}};
  EXPECT_TRUE(begins("customer.subscription.created", 1767225600, nullptr));
  EXPECT_FALSE(begins("customer.subscription.created", nullptr, nullptr));
  EXPECT_TRUE(begins("customer.subscription.updated", 1767225600, added));
  EXPECT_FALSE(begins("customer.subscription.updated", 1767225600, nullptr));
  EXPECT_FALSE(begins("customer.subscription.updated", 1767225600, {{"trial_end", 1767225600}}));
  EXPECT_FALSE(begins("customer.subscription.updated", 1767225600, {{"trial_start", 1767000000}}));
  EXPECT_FALSE(begins("customer.subscription.deleted", 1767225600, added));
}

RC_GTEST_PROP(EventProperty, PeekAgreesWithParse, ()) {
  const Json object = *rc::gen::element(fixtures::new_subscription(), fixtures::old_invoice(),
                                        Json{{"id", "cus_1"}, {"object", "customer"}});
  expect_same_as_parsed(*generators::damaged(event_json("customer.updated", object)));
}

RC_GTEST_PROP(EventProperty, PeekAgreesWithParseOfThinEvents, ()) {
  const Json thin = {{"id", "evt_1"},
                     {"object", "v2.core.event"},
                     {"type", "t"},
                     {"created", "2026-01-01T00:00:00.000Z"},
                     {"related_object", {{"id", "cus_1"}, {"type", "customer"}}}};
  expect_same_as_parsed(*generators::damaged(thin));
}

RC_GTEST_PROP(EventProperty, AnythingElseRaisesEventError, ()) {
  const std::string text =
      *rc::gen::oneOf(rc::gen::map(generators::json(), to_text), rc::gen::string<std::string>());
  peek_event(text);
  try {
    parse_event(text);
  } catch (const EventError& error) {
    RC_ASSERT(std::string(error.what()) != "");
  }
}

}  // namespace
}  // namespace billing
