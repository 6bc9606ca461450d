// Amounts of money between text in major units and whole minor units.
#include "core/money.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace billing {
namespace {

TEST(Money, CountsInTheCurrencysOwnDecimals) {
  EXPECT_EQ(minor_units("19.99", "usd"), 1999);
  EXPECT_EQ(minor_units("19.9", "usd"), 1990);
  EXPECT_EQ(minor_units("19", "usd"), 1900);
  EXPECT_EQ(minor_units("0", "usd"), 0);
  EXPECT_EQ(minor_units("0.29", "usd"), 29);
  EXPECT_EQ(minor_units("1980", "jpy"), 1980);
  EXPECT_EQ(minor_units("1.250", "kwd"), 1250);
}

TEST(Money, DecimalsThatSayNothingAreNoError) {
  EXPECT_EQ(minor_units("19.990000", "usd"), 1999);
  EXPECT_EQ(minor_units("1980.0", "jpy"), 1980);
  EXPECT_EQ(minor_units("0019.99", "usd"), 1999);
}

TEST(Money, WhatCannotBePaidIsNoAmount) {
  for (const char* text : {"", ".", "1.", ".5", "-1", "+1", "1,5", "1e3", " 1", "1 ", "1.2.3", "19.999", "x"})
    EXPECT_EQ(minor_units(text, "usd"), std::nullopt) << text;
  EXPECT_EQ(minor_units("19.9", "jpy"), std::nullopt);
  EXPECT_EQ(minor_units("9999999999999.99", "usd"), 999'999'999'999'999);
  EXPECT_EQ(minor_units("10000000000000.00", "usd"), std::nullopt);
  EXPECT_EQ(minor_units("99999999999999999999999999", "jpy"), std::nullopt);
}

TEST(Money, IsWrittenWithAllDecimals) {
  EXPECT_EQ(major_units(1999, "usd"), "19.99");
  EXPECT_EQ(major_units(5, "usd"), "0.05");
  EXPECT_EQ(major_units(0, "usd"), "0.00");
  EXPECT_EQ(major_units(-5, "usd"), "-0.05");
  EXPECT_EQ(major_units(1980, "jpy"), "1980");
  EXPECT_EQ(major_units(0, "jpy"), "0");
  EXPECT_EQ(major_units(1, "kwd"), "0.001");
}

RC_GTEST_PROP(Money, ReadsWhatItWrote, ()) {
  const std::string currency = *rc::gen::element<std::string>("usd", "jpy", "kwd", "eur");
  const std::int64_t minor = *rc::gen::inRange<std::int64_t>(0, 1'000'000'000'000'000);
  RC_ASSERT(minor_units(major_units(minor, currency), currency) == minor);
}

}  // namespace
}  // namespace billing
