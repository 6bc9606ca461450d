// The simulated API below its sockets: parameters, idempotency, events, lists.
#include <gtest/gtest.h>

#include "worker/simulation/api/answering.hpp"
#include "worker/simulation/api/faults.hpp"
#include "worker/simulation/api/idempotency.hpp"
#include "worker/simulation/api/parameters.hpp"
#include "worker/stripe/form.hpp"

namespace billing::simulation {
namespace {

TEST(FormOfParameters, BracketsNest) {
  EXPECT_EQ(
      parse_form("items[0][price]=a&items[0][quantity]=2&items[1][price]=b&expand[]=x&expand[]=y"),
      Json::parse(R"({"items": [{"price": "a", "quantity": "2"}, {"price": "b"}], "expand": ["x", "y"]})"));
  EXPECT_EQ(parse_form("metadata%5Ba+b%5D=c%26d&empty="),
            Json::parse(R"({"metadata": {"a b": "c&d"}, "empty": ""})"));
  EXPECT_EQ(parse_form(""), Json::object());
}

TEST(FormOfParameters, IsWhatOurClientWrites) {
  const Json values = Json::parse(
      R"({"line_items": [{"price": "p", "quantity": 2}], "metadata": {"a b": "ü", "x": ""}, "flag": true})");
  EXPECT_EQ(
      parse_form(stripe::encode_form(values)),
      Json::parse(
          R"({"line_items": [{"price": "p", "quantity": "2"}], "metadata": {"a b": "ü", "x": ""}, "flag": "true"})"));
}

TEST(FormOfParameters, WhatIsNoneIsRefused) {
  for (const char* text : {"a[b=1", "a]b[=1", "[a]=1", "=1", "a=1&a[b]=2", "a[b]=2&a=1", "a%ff=1"})
    EXPECT_THROW(parse_form(text), CallError) << text;
  std::string deep = "a";
  for (int i = 0; i < 100; ++i) deep += "[b]";
  EXPECT_THROW(parse_form(deep + "=1"), CallError);
}

ApiRequest post(const std::string& key, const std::string& body,
                const std::string& target = "/v1/customers") {
  ApiRequest request;
  request.method = "POST";
  request.target = target;
  request.authorization = "Bearer sk_test_1";
  request.idempotency_key = key;
  request.body = body;
  request.id = "req_1";
  return request;
}

ApiAnswer answer(int status, const std::string& body) { return {status, body, {}}; }

TEST(IdempotencyKeys, TheFirstAnswerIsGivenAgain) {
  Idempotency keys;
  EXPECT_FALSE(keys.begin(post("k", "a=1"), 100));
  EXPECT_EQ(keys.begin(post("k", "a=1"), 100)->status, 409);
  keys.finish(post("k", "a=1"), answer(200, "first"));
  const auto again = keys.begin(post("k", "a=1"), 101);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->body, "first");
  EXPECT_EQ(again->headers.back().first, "Idempotent-Replayed");
  EXPECT_EQ(keys.begin(post("k", "a=2"), 101)->status, 400);
  EXPECT_EQ(keys.begin(post("k", "a=1", "/v1/products"), 101)->status, 400);
  EXPECT_FALSE(keys.begin(post("k", "a=1"), 100 + 86400));
}

TEST(IdempotencyKeys, WhatWasRefusedLeavesNoTrace) {
  Idempotency keys;
  for (const int status : {400, 404, 429}) {
    EXPECT_FALSE(keys.begin(post("k", "a=1"), 100)) << status;
    keys.finish(post("k", "a=1"), answer(status, "no"));
  }
  EXPECT_FALSE(keys.begin(post("k", "a=2"), 100));
  keys.finish(post("k", "a=2"), answer(402, "declined"));
  EXPECT_EQ(keys.begin(post("k", "a=2"), 100)->status, 402);
  // Without a key, and for what is only read, there is nothing to remember.
  EXPECT_FALSE(keys.begin(post("", "a=1"), 100));
  EXPECT_FALSE(keys.begin(post("", "a=1"), 100));
}

class SimulatedApi : public testing::Test {
 protected:
  SimulatedApi() : shop_(books_, journal_, 1, false) { books_.advance(1'800'000'000); }

  Json call(const std::string& method, const std::string& target, const std::string& body = "") {
    ApiRequest request = post("", body, target);
    request.method = method;
    const ApiAnswer answered = answer_api(shop_, request);
    status_ = answered.status;
    return Json::parse(answered.body);
  }

  Books books_;
  Journal journal_;
  Shop shop_;
  int status_ = 0;
};

TEST_F(SimulatedApi, EveryChangeIsOneEventThatSaysWhatWasBefore) {
  const Json made = call("POST", "/v1/customers", "name=Ada&metadata[a]=1");
  ASSERT_EQ(status_, 200);
  const std::string path = "/v1/customers/" + made["id"].get<std::string>();
  call("POST", path, "name=Bo&metadata[a]=&metadata[b]=2");
  call("POST", path, "name=Bo");
  const Json events = call("GET", "/v1/events?type=customer.*")["data"];
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0]["type"], "customer.updated");
  EXPECT_EQ(events[0]["data"]["previous_attributes"],
            Json::parse(R"({"name": "Ada", "metadata": {"a": "1", "b": null}})"));
  EXPECT_EQ(events[0]["request"]["id"], "req_1");
  EXPECT_EQ(events[1]["type"], "customer.created");
  EXPECT_EQ(events[0]["data"]["object"], call("GET", path));
}

TEST_F(SimulatedApi, PagesHoldEachObjectOnce) {
  for (int i = 0; i < 25; ++i) call("POST", "/v1/customers", "name=n" + std::to_string(i));
  std::set<std::string> seen;
  std::string after;
  for (;;) {
    const Json page = call("GET", "/v1/customers?limit=10" + after);
    for (const Json& customer : page["data"]) EXPECT_TRUE(seen.insert(customer["id"]).second);
    if (!page["has_more"].get<bool>()) break;
    after = "&starting_after=" + page["data"].back()["id"].get<std::string>();
  }
  EXPECT_EQ(seen.size(), 25u);
}

TEST_F(SimulatedApi, EventsWaitForThoseWhoAskForThem) {
  shop_.targets()["we_1"] = {"http://127.0.0.1:1", "whsec_x", {"customer.created"}, true};
  shop_.targets()["we_2"] = {"http://127.0.0.1:1", "whsec_x", {"*"}, false};
  std::vector<std::string> sent;
  shop_.on_send(
      [&](const Emitted& event, const std::string& target) { sent.push_back(event.type + target); });
  const std::string id = call("POST", "/v1/customers", "name=Ada")["id"];
  call("POST", "/v1/customers/" + id, "name=Bo");
  EXPECT_EQ(sent, std::vector<std::string>{"customer.createdwe_1"});
  const Json waiting = call("GET", "/v1/events?delivery_success=false")["data"];
  ASSERT_EQ(waiting.size(), 1u);
  EXPECT_EQ(waiting[0]["pending_webhooks"], 1);
  journal_.delivered(waiting[0]["id"], "we_1");
  EXPECT_EQ(call("GET", "/v1/events?delivery_success=false")["data"].size(), 0u);
  EXPECT_EQ(call("GET", "/v1/events?delivery_success=true")["data"].size(), 2u);
}

TEST(FaultsOfAnswers, AreTheSameForASeed) {
  const auto drawn = [](std::uint64_t seed) {
    Faults faults(0.5);
    Random random(seed);
    std::string kinds;
    for (int i = 0; i < 200; ++i)
      kinds += static_cast<char>('0' + static_cast<int>(faults.draw(post("", ""), random).kind));
    return kinds;
  };
  EXPECT_EQ(drawn(7), drawn(7));
  EXPECT_NE(drawn(7), drawn(8));
  for (const char kind : {'0', '1', '2', '3', '4'}) EXPECT_NE(drawn(7).find(kind), std::string::npos) << kind;
}

}  // namespace
}  // namespace billing::simulation
