// Stripe's entitlement summaries: the newest whole one counts, and a cut one takes nothing away.
#include "core/stripe_entitlements.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <vector>

namespace billing {
namespace {

Json summary(const std::set<std::string>& keys, bool has_more) {
  Json data = Json::array();
  for (const std::string& key : keys)
    data.push_back(
        {{"object", "entitlements.active_entitlement"}, {"feature", "feat_" + key}, {"lookup_key", key}});
  return {{"object", kEntitlementSummary},
          {"customer", "cus_1"},
          {"entitlements", {{"object", "list"}, {"data", data}, {"has_more", has_more}}}};
}

std::string joined(const std::set<std::string>& keys) {
  std::string text;
  for (const std::string& key : keys) text += key;
  return text;
}

struct Told {
  Json summary;
  Seconds created;
};

std::string active_after(const std::vector<Told>& all) {
  StripeEntitlements known;
  for (const Told& told : all) fold_summary(known, told.summary, told.created);
  const auto newest = std::max_element(all.begin(), all.end(),
                                       [](const Told& a, const Told& b) { return a.created < b.created; });
  return joined(active_features(known, newest->summary));
}

TEST(StripeEntitlements, AWholeSummaryIsAllThereIs) {
  EXPECT_EQ(active_after({{summary({"a", "b"}, false), 1}}), "ab");
  EXPECT_EQ(active_after({{summary({"a", "b"}, false), 1}, {summary({"b"}, false), 2}}), "b");
  EXPECT_EQ(active_after({{summary({"a", "b"}, false), 1}, {summary({}, false), 2}}), "");
}

TEST(StripeEntitlements, ACutSummaryTakesNothingAway) {
  EXPECT_EQ(active_after({{summary({"a", "b"}, false), 1}, {summary({"c"}, true), 2}}), "abc");
  EXPECT_EQ(active_after({{summary({"a"}, true), 1}, {summary({"b"}, true), 2}, {summary({"c"}, true), 3}}),
            "abc");
  EXPECT_EQ(active_after({{summary({"a"}, true), 1}, {summary({"b"}, false), 2}, {summary({"c"}, true), 3}}),
            "bc");
}

TEST(StripeEntitlements, OddSummariesAllowNothingAndHarmNothing) {
  StripeEntitlements known;
  for (const char* text :
       {"null", "{}", R"({"entitlements": 5})", R"({"entitlements": {"data": [5, {"lookup_key": 7}, {}]}})"})
    fold_summary(known, parse_json(text), 5);
  EXPECT_EQ(known, StripeEntitlements{});
  EXPECT_TRUE(active_features(known, parse_json("{}")).empty());
}

TEST(StripeEntitlements, WhatIsStoredIsReadAgain) {
  StripeEntitlements known;
  fold_summary(known, summary({"a"}, false), 3);
  fold_summary(known, summary({"b", "c"}, true), 4);
  EXPECT_EQ(read_seen(known.whole_at, seen_json(known)), known);
}

RC_GTEST_PROP(StripeEntitlements, TheOrderInWhichSummariesComeDoesNotMatter, ()) {
  std::vector<Told> all;
  const int count = *rc::gen::inRange(1, 8);
  for (int i = 0; i < count; ++i) {
    std::set<std::string> keys;
    for (const char* key : {"a", "b", "c", "d"})
      if (*rc::gen::arbitrary<bool>()) keys.insert(key);
    all.push_back({summary(keys, *rc::gen::arbitrary<bool>()), i});
  }
  const std::string expected = active_after(all);
  // What is listed since the last whole summary, whatever came when.
  std::set<std::string> since;
  for (const Told& told : all) {
    StripeEntitlements alone;
    fold_summary(alone, told.summary, told.created);
    if (alone.whole_at) since.clear();
    for (const auto& [key, created] : alone.seen) since.insert(key);
  }
  RC_ASSERT(expected == joined(since));
  for (std::size_t i = all.size(); i > 1; --i)
    std::swap(all[i - 1], all[*rc::gen::inRange<std::size_t>(0, i)]);
  RC_ASSERT(active_after(all) == expected);
}

}  // namespace
}  // namespace billing
