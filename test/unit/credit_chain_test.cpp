// The grants of one key: what each gives back, and what is still to be granted.
#include "core/credit_chain.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <numeric>

namespace billing::credits {
namespace {

Reversal refunded(Amount amount, Amount paid) {
  Reversal reversal;
  reversal.paid = paid;
  reversal.refunded = amount;
  return reversal;
}

Amount sum(const std::vector<Amount>& amounts) {
  return std::accumulate(amounts.begin(), amounts.end(), Amount{0});
}

TEST(ChainKey, LeadsBackToTheFirst) {
  EXPECT_EQ(first_key("in_1:il_1:period"), "in_1:il_1:period");
  EXPECT_EQ(first_key(more_key("in_1:il_1:period:3", 12)), "in_1:il_1:period:3");
}

TEST(Chain, OfAsMuchAsIsDueIsLeftAlone) {
  const ChainTargets now = settle_chain({20, 10}, 30, Reversal{}, DebtPolicy::dispute);
  EXPECT_EQ(now.more, 0);
  EXPECT_EQ(now.targets[0].target, 0);
  EXPECT_EQ(now.targets[1].target, 0);
}

TEST(Chain, GrowsByAnAdditionAndShrinksFromItsEnd) {
  EXPECT_EQ(settle_chain({20}, 30, Reversal{}, DebtPolicy::dispute).more, 10);
  const ChainTargets less = settle_chain({20, 10}, 15, Reversal{}, DebtPolicy::dispute);
  EXPECT_EQ(less.targets[0].target, 5);
  EXPECT_EQ(less.targets[1].target, 10);
}

TEST(Chain, AnAdditionIsGrantedAndItsShareOfTheRefundTakenAtOnce) {
  const ChainTargets half = settle_chain({20}, 30, refunded(500, 1000), DebtPolicy::dispute);
  EXPECT_EQ(half.more, 10);
  EXPECT_EQ(half.more_target.target, 10);
  EXPECT_EQ(half.targets[0].target, 5);
}

// Whatever was granted in however many parts, in the end it is what one grant of what is due would be.
RC_GTEST_PROP(ChainProperty, EndsAsOneGrantOfWhatIsDue, ()) {
  const auto amounts =
      *rc::gen::nonEmpty(rc::gen::container<std::vector<Amount>>(rc::gen::inRange<Amount>(1, 500)));
  const Amount due = *rc::gen::inRange<Amount>(0, 2000);
  const Amount paid = *rc::gen::inRange<Amount>(1, 1000);
  const Reversal reversal = refunded(*rc::gen::inRange<Amount>(0, paid + 1), paid);
  const auto policy = *rc::gen::element(DebtPolicy::dispute, DebtPolicy::always, DebtPolicy::never);

  const ChainTargets now = settle_chain(amounts, due, reversal, policy);
  const ReversalTarget one = reversal_target(reversal, due, policy);
  Amount back = now.more_target.target, debt = now.more_target.debt_limit;
  RC_ASSERT(now.more_target.target <= now.more);
  for (std::size_t i = 0; i < amounts.size(); ++i) {
    RC_ASSERT(now.targets[i].target >= 0 && now.targets[i].target <= amounts[i]);
    RC_ASSERT(now.targets[i].debt_limit <= now.targets[i].target);
    back += now.targets[i].target;
    debt += now.targets[i].debt_limit;
  }
  RC_ASSERT(sum(amounts) + now.more - back == due - one.target);
  RC_ASSERT(debt == one.debt_limit);

  // And then nothing more is to be done.
  if (now.more == 0) return;
  std::vector<Amount> grown = amounts;
  grown.push_back(now.more);
  const ChainTargets again = settle_chain(grown, due, reversal, policy);
  RC_ASSERT(again.more == 0);
  RC_ASSERT(again.targets.back().target == now.more_target.target);
  for (std::size_t i = 0; i < amounts.size(); ++i)
    RC_ASSERT(again.targets[i].target == now.targets[i].target);
}

}  // namespace
}  // namespace billing::credits
