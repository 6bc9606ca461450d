// Credit accounts: each rule at the instants around which it matters.
#include <gtest/gtest.h>

#include <limits>
#include <tuple>

#include "core/credit_account.hpp"

namespace billing::credits {
namespace {

const Access kAll{true, {"sub_1"}};

Account account_at(Instant now) {
  Account account;
  account.advance(now);
  return account;
}

Lot lot_of(Amount amount, std::optional<Instant> expires_at = std::nullopt) {
  Lot lot;
  lot.amount = amount;
  lot.expires_at = expires_at;
  return lot;
}

Lot in_series(Amount amount, Instant cycle_start, std::optional<Instant> expires_at, Rollover rollover = {}) {
  Lot lot = lot_of(amount, expires_at);
  lot.series = "sub_1";
  lot.cycle_start = cycle_start;
  lot.rollover = rollover;
  return lot;
}

const Rollover kCarryAll{Rollover::Kind::all, 0};
Rollover up_to(Amount limit) { return {Rollover::Kind::limited, limit}; }

TEST(CreditHold, ProtectsFromLapsingUntilItEnds) {
  Account account = account_at(100);
  account.grant(lot_of(10, 200), {});
  const std::int64_t first = account.hold(4, 300, kAll, {}).id;
  const std::int64_t second = account.hold(3, 300, kAll, {}).id;
  account.advance(199);
  EXPECT_EQ(account.available(), 3);
  account.advance(200);
  EXPECT_EQ(std::tuple(account.balance, account.held, account.available()), std::tuple(7, 7, 0));
  account.capture(first, 3, kAll, {});  // what it leaves is over
  EXPECT_EQ(std::tuple(account.balance, account.held), std::tuple(3, 3));
  account.advance(299);
  EXPECT_EQ(account.find_hold(second)->status, Hold::Status::open);
  account.advance(300);
  EXPECT_EQ(account.find_hold(second)->status, Hold::Status::expired);
  EXPECT_EQ(account.balance, 0);
  EXPECT_EQ(account.entries.back().effective_at, 300);
}

TEST(CreditHold, MayBeCapturedForMore) {
  Account account = account_at(100);
  account.grant(lot_of(10), {});
  account.grant(lot_of(10), {});
  const std::int64_t id = account.hold(8, 200, kAll, {}).id;
  const Entry entry = account.capture(id, 15, kAll, {});
  EXPECT_EQ(entry.burns, (std::vector<Burn>{{1, 10}, {2, 5}}));
  EXPECT_EQ(account.available(), 5);
}

TEST(CreditDebt, IsPaidFirst) {
  Account account = account_at(100);
  account.grant(lot_of(10), {});
  account.use(8, kAll, {});
  account.reverse(1, 10, 10, {});
  EXPECT_EQ(std::tuple(account.balance, account.debt), std::tuple(0, 8));
  account.grant(lot_of(5), {});
  EXPECT_EQ(std::tuple(account.balance, account.debt, account.available()), std::tuple(0, 3, 0));
  Lot scheduled = lot_of(10);
  scheduled.effective_at = 150;
  account.grant(std::move(scheduled), {});
  EXPECT_EQ(account.next_due(), 150);
  account.advance(150);
  EXPECT_EQ(std::tuple(account.balance, account.debt, account.available()), std::tuple(7, 0, 7));
}

TEST(CreditDebt, PaysWithWhatARefundBrings) {
  Account account = account_at(100);
  account.grant(lot_of(10), {});
  account.grant(lot_of(5), {});
  const Entry debit = account.use(12, kAll, {});
  account.reverse(1, 10, 10, {});
  EXPECT_EQ(std::tuple(account.balance, account.debt), std::tuple(0, 7));
  account.refund(debit.id, {{2, 2}}, {});
  EXPECT_EQ(std::tuple(account.balance, account.debt), std::tuple(0, 5));
}

// A pack paid the debt of a lot that is over by now; when the dispute is won, the pack's credits come back to
// stay.
TEST(CreditDebt, WhatOthersPaidComesBackToStay) {
  Account account = account_at(100);
  account.grant(lot_of(10, 200), {});
  account.use(10, kAll, {});
  account.advance(250);
  account.grant(lot_of(10), {});
  account.reverse(1, 10, 10, {});
  EXPECT_EQ(std::tuple(account.balance, account.debt), std::tuple(0, 0));
  account.reverse(1, 0, 0, {});
  EXPECT_EQ(std::tuple(account.balance, account.available()), std::tuple(10, 10));
}

TEST(CreditReversal, TakesBackLaterWhatWasSpentAndReturns) {
  Account account = account_at(100);
  account.grant(lot_of(10), {});
  const Entry debit = account.use(8, kAll, {});
  account.reverse(1, 10, 0, {});  // no debt: only what is there
  EXPECT_EQ(std::tuple(account.balance, account.debt), std::tuple(0, 0));
  account.refund(debit.id, {{1, 3}}, {});
  EXPECT_EQ(account.balance, 0);
  account.reverse(1, 5, 0, {});
  EXPECT_EQ(std::tuple(account.balance, account.lots[0].reversed), std::tuple(0, 5));
  account.reverse(1, 0, 0, {});
  EXPECT_EQ(std::tuple(account.balance, account.lots[0].spent), std::tuple(5, 5));
}

TEST(CreditVoid, KeepsNothingThatComesBack) {
  Account account = account_at(100);
  account.grant(lot_of(10), {});
  const Entry debit = account.use(2, kAll, {});
  const std::int64_t hold = account.hold(3, 200, kAll, {}).id;
  EXPECT_EQ(account.void_lot(1, {}), 5);
  EXPECT_EQ(account.balance, 3);
  EXPECT_EQ(account.refund(debit.id, {{1, 2}}, {}).lapsed, 2);
  account.release(hold);
  EXPECT_EQ(account.balance, 0);
  EXPECT_EQ(account.lots[0].lapsed, 5);
}

TEST(CreditSeries, TheNextLotEndsTheFormer) {
  Account account = account_at(100);
  account.grant(in_series(10, 100, 230), {});
  account.advance(200);
  account.grant(in_series(10, 200, 330), {});
  EXPECT_EQ(account.balance, 10);
  EXPECT_EQ(account.lots[0].lapsed, 10);
}

TEST(CreditSeries, RolloverCarriesAllOrUpToALimit) {
  for (const auto& [rollover, kept] : {std::pair(kCarryAll, 10), {up_to(4), 4}, {up_to(40), 10}}) {
    Account account = account_at(100);
    account.grant(in_series(10, 100, 230), {});
    account.advance(200);
    account.grant(in_series(10, 200, 330, rollover), {});
    EXPECT_EQ(account.balance, 10 + kept);
    account.advance(329);
    EXPECT_EQ(account.balance, 10 + kept);  // as long as the new one
    account.advance(330);
    EXPECT_EQ(account.balance, 0);
  }
}

TEST(CreditSeries, RolloverCarriesAcrossIntervalsThatTouch) {
  Account account = account_at(100);
  account.grant(in_series(10, 100, 200, kCarryAll), {});
  Lot next = in_series(10, 200, 300, kCarryAll);
  next.effective_at = 200;
  account.grant(std::move(next), {});
  account.use(3, kAll, {});
  account.advance(200);
  EXPECT_EQ(account.balance, 17);
  account.advance(300);
  EXPECT_EQ(account.balance, 0);
}

TEST(CreditSeries, AnOlderLotThatComesLateAddsNothing) {
  for (const auto& [rollover, kept] : {std::pair(Rollover{}, 0), {up_to(4), 4}, {kCarryAll, 10}}) {
    Account account = account_at(100);
    account.grant(in_series(10, 200, 330, rollover), {});
    account.grant(in_series(10, 100, 230), {});
    EXPECT_EQ(account.balance, 10 + kept);
    EXPECT_EQ(account.lots[1].lapsed, 10 - kept);
  }
}

// A lot that was due before it became known ends the former one, but not before that one began.
TEST(CreditSeries, NoEntryIsEffectiveBeforeItsCreditsWere) {
  Account account = account_at(100);
  account.grant(in_series(10, 50, 230), {});
  Lot late = in_series(10, 80, 330);
  late.effective_at = 80;
  account.grant(std::move(late), {});
  EXPECT_EQ(account.balance, 10);
  EXPECT_EQ(account.entries.back().type, EntryType::expiry);
  EXPECT_EQ(account.entries.back().effective_at, 100);
}

TEST(CreditAmount, StaysInTheRangeOfBigint) {
  Account account = account_at(100);
  account.grant(lot_of(std::numeric_limits<Amount>::max()), {});
  EXPECT_EQ(account.available(), std::numeric_limits<Amount>::max());
  EXPECT_THROW(Account(account).grant(lot_of(1), {}), AmountError);
  // Refused when it is granted, not when its time comes and nothing else works any more.
  Lot later = lot_of(1);
  later.effective_at = 200;
  EXPECT_THROW(Account(account).grant(std::move(later), {}), AmountError);
}

}  // namespace
}  // namespace billing::credits
