// What two looks in a row find, of random worlds.
#include "worker/shadow.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

namespace billing::worker {
namespace {

Difference access_of(const std::string& user_id, std::optional<std::string> theirs) {
  return {user_id, "has_access", std::move(theirs), "true"};
}

TEST(StandingDifferences, OneLookIsNotEnough) {
  StandingDifferences differences;
  const auto first = differences.look({access_of("ada", "false")});
  EXPECT_TRUE(first.appeared.empty() && first.gone.empty() && differences.standing().empty());
  const auto second = differences.look({access_of("ada", "false"), access_of("bob", "false")});
  EXPECT_EQ(second.appeared, Differences{access_of("ada", "false")});
  const auto third = differences.look({});
  EXPECT_EQ(third.gone, Differences{access_of("ada", "false")});
  EXPECT_TRUE(third.appeared.empty() && differences.standing().empty());
}

TEST(StandingDifferences, AnotherAnswerIsAnotherDifference) {
  StandingDifferences differences;
  differences.look({access_of("ada", "false")});
  const auto news = differences.look({access_of("ada", std::nullopt)});
  EXPECT_TRUE(news.appeared.empty() && differences.standing().empty());
  EXPECT_EQ(differences.look({access_of("ada", std::nullopt)}).appeared.size(), 1u);
}

RC_GTEST_PROP(StandingDifferences, WhatIsToldAddsUpToWhatStands, ()) {
  StandingDifferences differences;
  Differences told, before;
  for (int looks = *rc::gen::inRange(1, 20); looks > 0; --looks) {
    Differences found;
    for (const int user : *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 5)))
      found.insert(access_of(std::to_string(user), "false"));
    const auto news = differences.look(found);
    for (const Difference& one : news.gone) RC_ASSERT(told.erase(one) == 1u);
    for (const Difference& one : news.appeared) RC_ASSERT(told.insert(one).second);
    RC_ASSERT(told == differences.standing());
    for (const Difference& one : told) RC_ASSERT(found.count(one) == 1u && before.count(one) == 1u);
    before = found;
  }
}

}  // namespace
}  // namespace billing::worker
