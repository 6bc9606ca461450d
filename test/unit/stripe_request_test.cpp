// What goes over the wire to Stripe: the form, the waits, the rate.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "worker/stripe/form.hpp"
#include "worker/stripe/rate_limit.hpp"
#include "worker/stripe/retry.hpp"
#include "worker/text.hpp"

namespace billing::stripe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Form, NestsInBrackets) {
  EXPECT_EQ(encode_form({{"customer", "cus_1"},
                         {"items", {{{"price", "price_1"}, {"quantity", 2}}, {{"price", "price_2"}}}},
                         {"metadata", {{"a b", true}, {"user_id", "müller & söhne"}}}}),
            "customer=cus_1&items[0][price]=price_1&items[0][quantity]=2&items[1][price]=price_2"
            "&metadata[a%20b]=true&metadata[user_id]=m%C3%BCller%20%26%20s%C3%B6hne");
}

TEST(Form, UnsetsAndLeavesOut) {
  EXPECT_EQ(
      encode_form({{"coupon", nullptr}, {"empty", Json::object()}, {"none", Json::array()}, {"zero", 0}}),
      "coupon=&zero=0");
  EXPECT_EQ(encode_form(Json::object()), "");
  EXPECT_THROW(encode_form(Json::array()), std::invalid_argument);
}

RC_GTEST_PROP(Form, NothingOfAValueCanBecomeAnotherParameter, (const std::string& value)) {
  const std::string encoded = worker::percent_encode(value);
  RC_ASSERT(encoded.find_first_of("&=[]+ #?\r\n") == std::string::npos);
  // And it is all there.
  std::string decoded;
  for (std::size_t i = 0; i < encoded.size(); ++i) {
    if (encoded[i] != '%') {
      decoded += encoded[i];
      continue;
    }
    decoded += static_cast<char>(std::stoi(encoded.substr(i + 1, 2), nullptr, 16));
    i += 2;
  }
  RC_ASSERT(decoded == value);
}

Attempt attempt(int number, int status) {
  Attempt made;
  made.number = number;
  made.status = status;
  return made;
}

TEST(Retry, WhatMayHelpIsAskedAgain) {
  for (const int status : {0, 409, 429, 500, 503}) EXPECT_TRUE(retry_in(attempt(1, status), 0)) << status;
  for (const int status : {301, 400, 401, 402, 403, 404})
    EXPECT_FALSE(retry_in(attempt(1, status), 0)) << status;
  EXPECT_FALSE(retry_in(attempt(kMostAttempts, 500), 0));
}

TEST(Retry, StripeDecides) {
  Attempt told = attempt(1, 500);
  told.should_retry = false;
  EXPECT_FALSE(retry_in(told, 0));
  told = attempt(1, 400);
  told.should_retry = true;
  EXPECT_TRUE(retry_in(told, 0));
}

TEST(Retry, WaitsLongerEachTimeAndAsLongAsAsked) {
  EXPECT_EQ(retry_in(attempt(1, 500), 0), milliseconds(250));
  EXPECT_EQ(retry_in(attempt(1, 500), 1), milliseconds(500));
  EXPECT_EQ(retry_in(attempt(3, 500), 1), milliseconds(2000));
  EXPECT_LE(*retry_in(attempt(kMostAttempts - 1, 500), 1), milliseconds(8000));
  Attempt asked = attempt(1, 429);
  asked.retry_after = seconds(7);
  EXPECT_EQ(retry_in(asked, 0), milliseconds(7000));
  asked.retry_after = seconds(86400);
  EXPECT_EQ(retry_in(asked, 0), milliseconds(60000));
}

RC_GTEST_PROP(RateLimit, NoSecondHasMoreThanItsShareBesideTheFirstBurst, ()) {
  const int rate = *rc::gen::inRange(1, 50);
  RateLimit limit(rate);
  RateLimit::Clock::time_point now{};
  now += seconds(100);
  const auto begin = now;
  int taken = 0;
  RateLimit::Clock::time_point latest = now;
  for (const int pause : *rc::gen::container<std::vector<int>>(200, rc::gen::inRange(0, 30))) {
    now += milliseconds(pause);
    const auto turn = now + limit.take(now);
    RC_ASSERT(turn >= latest);  // in order
    latest = turn;
    ++taken;
    const double time = std::chrono::duration<double>(turn - begin).count();
    RC_ASSERT(taken <= rate + time * rate + 1);
  }
}

}  // namespace
}  // namespace billing::stripe
