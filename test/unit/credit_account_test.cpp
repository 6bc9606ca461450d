// Credit accounts: what holds whatever is done to them.
#include "core/credit_account.hpp"

#include <gtest/gtest.h>

#include <set>
#include <tuple>

#include "credit_account_world.hpp"

namespace billing::credits {
namespace {

using world::Habits;
using world::kAll;
using world::kNone;
using world::World;

// What is written to the tables, times of writing apart.
auto key(const Entry& e) {
  return std::tuple(e.id, e.type, e.amount, e.balance_after, e.debt_change, e.debt_after, e.effective_at,
                    e.lot_id, e.refers_to, e.hold_id);
}
auto key(const Lot& l) {
  return std::tuple(l.id, l.amount, l.remaining, l.held, l.spent, l.lapsed, l.reversed, l.reversal_target,
                    l.reversal_debt, l.started, l.voided);
}
auto key(const Hold& h) {
  return std::tuple(h.id, h.amount, h.status, h.captured, h.transaction_id, h.closed_at);
}
template <typename Things>
auto keys(const Things& things) {
  std::vector<decltype(key(things.front()))> keys;
  for (const auto& thing : things) keys.push_back(key(thing));
  return keys;
}

Amount free_of(const Account& account) {
  Amount free = 0;
  for (const Lot& lot : account.lots) free += lot.free();
  return free;
}

void check_lots(const Account& account) {
  std::map<std::int64_t, Amount> held, moved;
  for (const Hold& hold : account.holds)
    if (hold.status == Hold::Status::open)
      for (const Burn& burn : hold.lots) held[burn.lot_id] += burn.amount;
  for (const Entry& entry : account.entries) {
    if (entry.lot_id != 0) moved[entry.lot_id] += entry.amount;
    for (const Burn& burn : entry.burns)
      moved[burn.lot_id] += entry.type == EntryType::refund ? burn.amount : -burn.amount;
  }
  for (const Lot& lot : account.lots) {
    for (const Amount part :
         {lot.remaining, lot.held, lot.spent, lot.lapsed, lot.reversed, lot.reversal_debt})
      RC_ASSERT(part >= 0);
    RC_ASSERT(lot.remaining + lot.spent + lot.lapsed + lot.reversed == (lot.started ? lot.amount : 0));
    RC_ASSERT(lot.remaining == moved[lot.id]);
    RC_ASSERT(lot.held == held[lot.id]);
    RC_ASSERT(lot.free() >= 0);
    RC_ASSERT(lot.reversal_debt + (lot.voided ? 0 : lot.reversed) <= lot.reversal_target);
    if (!lot.started || lot.free() == 0) continue;
    RC_ASSERT(!lot.voided && !lot.expired(account.now()) && lot.outstanding() <= 0);
  }
}

void check(const Account& account) {
  Amount remaining = 0, held = 0, balance = 0, debt = 0;
  std::int64_t id = 0;
  for (const Lot& lot : account.lots) {
    remaining += lot.remaining;
    held += lot.held;
  }
  for (const Entry& entry : account.entries) {
    RC_ASSERT(entry.id == ++id);
    RC_ASSERT(entry.balance_after == (balance += entry.amount));
    RC_ASSERT(entry.debt_after == (debt += entry.debt_change));
    RC_ASSERT(balance >= 0 && debt >= 0);
    Amount burnt = 0;
    for (const Burn& burn : entry.burns) {
      RC_ASSERT(burn.amount > 0);
      burnt += burn.amount;
    }
    const bool burns = entry.type == EntryType::usage || entry.type == EntryType::refund;
    RC_ASSERT(burnt == (burns ? std::abs(entry.amount) : 0));
  }
  RC_ASSERT(account.balance == remaining && account.balance == balance);
  RC_ASSERT(account.held == held && account.debt == debt && account.last_entry_id == id);
  RC_ASSERT(debt == 0 || free_of(account) == 0);
  RC_ASSERT(account.available() == (debt > 0 ? 0 : balance - held));
  check_lots(account);
}

RC_GTEST_PROP(CreditAccount, NothingIsLostOrMadeOrBelowZero, ()) {
  World world;
  for (const Step& step : *world::steps()) {
    world.perform(step);
    check(world.account);
  }
}

// One credit after the other, each from the lot that is best at that moment.
std::map<std::int64_t, Amount> naive_burns(std::vector<Lot> lots, Amount amount, const Access& access,
                                           Instant now) {
  std::map<std::int64_t, Amount> burns;
  for (; amount > 0; --amount) {
    Lot* best = nullptr;
    for (Lot& lot : lots) {
      if (!lot.started || lot.remaining == lot.held || (lot.expires_at && *lot.expires_at <= now)) continue;
      if (lot.requires_subscription && !access.any) continue;
      if (lot.requires_subscription && !lot.subscription_id.empty() &&
          !access.subscriptions.count(lot.subscription_id))
        continue;
      const bool better =
          best == nullptr || lot.priority < best->priority ||
          (lot.priority == best->priority && lot.expires_at && !best->expires_at) ||
          (lot.priority == best->priority && lot.expires_at && *lot.expires_at < *best->expires_at) ||
          (lot.priority == best->priority && lot.expires_at == best->expires_at && lot.id < best->id);
      if (better) best = &lot;
    }
    --best->remaining;
    ++burns[best->id];
  }
  return burns;
}

RC_GTEST_PROP(CreditAccount, BurnsInTheOrderOfTheNaiveOracle, ()) {
  World world;
  world.perform(*world::steps());
  const Access access = *rc::gen::elementOf(std::vector<Access>{kAll, kNone, {true, {"sub_2"}}});
  const Amount available = world.account.available(access);
  RC_PRE(available > 0);
  const Amount amount = *rc::gen::inRange<Amount>(1, available + 1);
  const auto expected = naive_burns(world.account.lots, amount, access, world.account.now());
  const bool reserves = *rc::gen::arbitrary<bool>();
  const std::vector<Burn> burns = reserves
                                      ? world.account.hold(amount, world.account.now() + 1, access, {}).lots
                                      : world.account.use(amount, access, {}).burns;
  std::map<std::int64_t, Amount> found;
  for (std::size_t i = 0; i < burns.size(); ++i) {
    found[burns[i].lot_id] = burns[i].amount;
    if (i == 0) continue;
    const Lot& former = *world.account.find_lot(burns[i - 1].lot_id);
    RC_ASSERT(std::is_lt(burn_order(former, *world.account.find_lot(burns[i].lot_id))));
  }
  RC_ASSERT(found == expected);
}

RC_GTEST_PROP(CreditAccount, DebitAndFullRefundRestoreEveryLot, ()) {
  World world;
  Account& account = world.account;
  world.perform(*world::steps());
  const Amount available = account.available(kAll);
  RC_PRE(available > 0);
  const auto lots = keys(account.lots);
  const Amount balance = account.balance;
  const Amount amount = *rc::gen::inRange<Amount>(1, available + 1);
  const bool held = *rc::gen::arbitrary<bool>();
  const Entry debit =
      held ? account.capture(account.hold(amount, account.now() + 9, kAll, {}).id, amount, kAll, {})
           : account.use(amount, kAll, {});
  Amount left = amount;  // in pieces
  std::vector<Burn> burns(debit.burns.rbegin(), debit.burns.rend());
  while (left > 0) {
    const Amount part = *rc::gen::inRange<Amount>(1, std::min(left, burns.front().amount) + 1);
    RC_ASSERT(account.refund(debit.id, {{burns.front().lot_id, part}}, {}).lapsed == 0);
    left -= part;
    if ((burns.front().amount -= part) == 0) burns.erase(burns.begin());
  }
  RC_ASSERT(account.balance == balance && account.available(kAll) == available);
  RC_ASSERT(keys(account.lots) == lots);
  check(account);
}

// However often somebody looks, in whatever order rows come, and whether or not more of them are loaded than
// needed.
RC_GTEST_PROP(CreditAccount, OnlyWhatIsDoneAndWhenCounts, ()) {
  const auto steps = *world::steps();
  World calm;
  calm.perform(steps);
  calm.pass(20);
  for (const Habits habits : {Habits{true, false, false}, Habits{false, true, false},
                              Habits{false, false, true}, Habits{true, true, true}}) {
    World other(habits);
    other.perform(steps);
    other.pass(20);
    other.gather();
    RC_ASSERT(other.account.balance == calm.account.balance && other.account.debt == calm.account.debt);
    RC_ASSERT(keys(other.account.lots) == keys(calm.account.lots));
    RC_ASSERT(keys(other.account.holds) == keys(calm.account.holds));
    RC_ASSERT(keys(other.account.entries) == keys(calm.account.entries));
  }
}

RC_GTEST_PROP(CreditAccount, NothingHappensBeforeItIsDue, ()) {
  World world;
  world.perform(*world::steps());
  const Account before = world.account;
  const Instant due = before.next_due();
  RC_ASSERT(due > before.now());
  RC_PRE(due != kEndOfTime);
  Account after = before;
  after.advance(due - 1);
  RC_ASSERT(keys(after.entries) == keys(before.entries) && keys(after.holds) == keys(before.holds));
  after.advance(due);
  RC_ASSERT(after.entries.size() > before.entries.size() || keys(after.holds) != keys(before.holds));
}

// What the ledger says of an instant, later, is what was read at that instant; also of single lots.
RC_GTEST_PROP(CreditAccount, TheLedgerTellsEveryPastInstant, ()) {
  World world;
  std::map<Instant, Amount> read;
  for (const Step& step : *world::steps()) {
    for (Instant i = 0; i < step.wait; ++i) {
      Account reader = world.account;
      reader.advance(world.account.now() + 1);
      read[reader.now()] = reader.balance;
      world.pass(1);
    }
    Step now = step;
    now.wait = 0;
    world.perform(now);
    read[world.account.now()] = world.account.balance;
  }
  for (const auto& [at, balance] : read) {
    std::map<std::int64_t, Amount> lots;
    Amount sum = 0;
    for (const Entry& entry : world.account.entries) {
      if (entry.effective_at > at) continue;
      sum += entry.amount;
      if (entry.lot_id != 0) lots[entry.lot_id] += entry.amount;
      for (const Burn& burn : entry.burns)
        lots[burn.lot_id] += entry.type == EntryType::refund ? burn.amount : -burn.amount;
    }
    RC_ASSERT(sum == balance);
    for (const auto& [id, amount] : lots) RC_ASSERT(amount >= 0);
  }
}

RC_GTEST_PROP(CreditAccount, ReversedAndGivenBackIsAsBefore, ()) {
  World world;
  Account& account = world.account;
  world.perform(*world::steps());
  RC_PRE(account.last_lot_id > 0);
  const std::int64_t id = *rc::gen::inRange<std::int64_t>(1, account.last_lot_id + 1);
  const Lot lot = *account.find_lot(id);
  const Amount balance = account.balance, debt = account.debt, available = account.available();
  const Amount target = *rc::gen::inRange<Amount>(lot.reversal_target, lot.amount + 1);
  account.reverse(id, target, *rc::gen::inRange<Amount>(lot.reversal_debt, target + 1), {});
  check(account);
  // Held credits, or those of a lot that is over, can't come back; what was not taken doesn't.
  account.reverse(id, lot.reversal_target, lot.reversal_debt, {});
  check(account);
  RC_ASSERT(account.debt == debt);
  RC_ASSERT(account.balance == balance && account.available() == available);
}

}  // namespace
}  // namespace billing::credits
