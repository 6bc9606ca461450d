// Parts of the HTTP API that need no connection: origins, addresses to come back to, limits, Stripe's
// refusals.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "worker/api/answer.hpp"
#include "worker/api/calls.hpp"
#include "worker/api/origin.hpp"
#include "worker/api/settings.hpp"

namespace billing::worker::api {
namespace {

const std::vector<std::string> kOrigins = {"https://app.example.com", "http://localhost:5173",
                                           "https://[::1]:8443"};

TEST(Origins, AreAsBrowsersWriteThem) {
  for (const auto& [url, origin] : std::vector<std::pair<const char*, const char*>>{
           {"https://app.example.com", "https://app.example.com"},
           {"https://app.example.com/", "https://app.example.com"},
           {"HTTPS://APP.Example.com:443/a?b#c", "https://app.example.com"},
           {"http://localhost:80", "http://localhost"},
           {"http://localhost:5173?x=@y", "http://localhost:5173"},
           {"https://[::1]:8443/x", "https://[::1]:8443"},
           {"https://a.b#https://evil.example", "https://a.b"}})
    EXPECT_EQ(origin_of(url), origin) << url;
  for (const char* url : {"",
                          "app.example.com",
                          "//app.example.com",
                          "ftp://a.b",
                          "javascript://a.b/%0aalert(1)",
                          "https://",
                          "https:///a",
                          "https://a@b",
                          "https://a:b@c",
                          "https://a b",
                          "https://a\tb",
                          "https://a\\b",
                          "https://a:x",
                          "https://a:",
                          "https://a:123456",
                          "https://%61.b",
                          "https://a.b\"",
                          "https://[::1",
                          "https://[]",
                          "https://[a.b.c]x",
                          "https://\xc3\xa9.example"})
    EXPECT_EQ(origin_of(url), std::nullopt) << url;
  EXPECT_EQ(origin_of("https://a.b/" + std::string(2048, 'x')), std::nullopt);
}

TEST(Landing, LeadsToListedOriginsAlone) {
  const std::string& home = kOrigins[1];
  EXPECT_EQ(landing_url("https://app.example.com/x?s={CHECKOUT_SESSION_ID}", kOrigins, home),
            "https://app.example.com/x?s={CHECKOUT_SESSION_ID}");
  EXPECT_EQ(landing_url("/welcome", kOrigins, home), "http://localhost:5173/welcome");
  for (const char* url : {"", "welcome", "//evil.example", "/\\evil.example", "/a b", "https://evil.example",
                          "https://app.example.com.evil.example", "https://app.example.com:8443/",
                          "https://app.example.com@evil.example", "http://app.example.com/"})
    EXPECT_EQ(landing_url(url, kOrigins, home), std::nullopt) << url;
  EXPECT_EQ(landing_url("/welcome", {}, ""), std::nullopt);
}

RC_GTEST_PROP(Landing, WhateverIsTakenBeginsWithAnOrigin, (const std::string& text)) {
  for (const std::string& given : {text, "/" + text, "https://app.example.com" + text}) {
    const auto url = landing_url(given, kOrigins, kOrigins[0]);
    if (!url) continue;
    const std::string rest = url->substr(std::min(url->size(), kOrigins[0].size()));
    RC_ASSERT(url->starts_with(kOrigins[0]));
    RC_ASSERT(rest.empty() || rest[0] == '/' || rest[0] == '?' || rest[0] == '#' || rest.starts_with(":443"));
  }
}

TEST(Limits, LetSoManyThroughAndSayWhenThereMayBeMore) {
  Calls calls;
  const Calls::Clock::time_point start{};
  for (int i = 0; i < Calls::kMost; ++i) EXPECT_EQ(calls.take("ada", start), 0) << i;
  EXPECT_EQ(calls.take("ada", start), 1);
  EXPECT_EQ(calls.take("bob", start), 0);
  EXPECT_EQ(calls.take("ada", start + std::chrono::seconds(1)), 0);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(calls.take("ada", start + std::chrono::seconds(1)), 0);
  EXPECT_EQ(calls.take("ada", start + std::chrono::seconds(1)), 1);
}

TEST(Routes, HaveEachName) {
  for (const char* name : {"authorize", "cancel", "change", "checkout", "config", "credits", "invoices",
                           "payments", "portal", "prices", "resume", "subscription"})
    ASSERT_NE(find_route(name), nullptr) << name;
  EXPECT_EQ(find_route(""), nullptr);
  EXPECT_EQ(find_route("refund"), nullptr);
  EXPECT_TRUE(find_route("prices")->open && find_route("config")->open && !find_route("credits")->open);
}

stripe::Answer refusal(int status, const char* type, const char* code) {
  stripe::Answer answer;
  answer.status = status;
  answer.request_id = "req_1";
  answer.error = stripe::ApiError{type, code, "", "quantity", "Stripe's words"};
  return answer;
}

TEST(StripesRefusals, BecomeOurs) {
  EXPECT_EQ(error_of(refusal(402, "card_error", "card_declined")).status, 402);
  EXPECT_EQ(error_of(refusal(402, "card_error", "")).code, "card_error");
  const Error invalid = error_of(refusal(400, "invalid_request_error", "parameter_invalid_integer"));
  EXPECT_EQ(invalid.status, 422);
  EXPECT_EQ(invalid.code, "parameter_invalid_integer");
  EXPECT_EQ(invalid.param, "quantity");
  EXPECT_EQ(invalid.request_id, "req_1");
  for (const int status : {401, 403, 500, 503}) {
    const Error ours = error_of(refusal(status, "api_error", ""));
    EXPECT_EQ(ours.status, 502);
    EXPECT_EQ(ours.message.find("Stripe's words"), std::string::npos);
  }
  EXPECT_EQ(error_of(refusal(429, "invalid_request_error", "rate_limit")).status, 503);
  EXPECT_EQ(error_of(refusal(0, "connection_error", "")).code, "stripe_unreachable");
}

TEST(Answers, HaveOneShapeForEveryNo) {
  const Response response = answer_with(Error{429, "too_many_requests", "m", "h", "p", "req_1", 7, {}});
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(Json::parse(response.body), Json::parse(R"({"error": {"code": "too_many_requests", "message": "m",
    "hint": "h", "param": "p", "request_id": "req_1"}})"));
  ASSERT_EQ(response.fields.size(), 1u);
  EXPECT_EQ(response.fields[0].second, "7");
  EXPECT_EQ(
      serialise(answer_with(Error{401, "c", "m", "", "", "", 0, {}})).find("WWW-Authenticate: Bearer") !=
          std::string::npos,
      true);
}

}  // namespace
}  // namespace billing::worker::api
