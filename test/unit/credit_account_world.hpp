// A credit account that random steps happen to: for properties that hold whatever is done to it.
#pragma once

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "core/credit_account.hpp"

namespace billing::credits {

// Something that is done to an account. What does not apply at its time is left out.
struct Step {
  enum Kind { grant, use, hold, capture, release, refund, void_lot, reverse, nothing };
  int kind = nothing;
  Instant wait = 0;  // before it
  Amount amount = 1;
  int pick = 0;     // which lot, hold or debit it is about
  int variant = 0;  // of a grant: its attributes; of others: half or all, and the like
};

inline void showValue(const Step& step, std::ostream& out) {
  static const char* const kNames[] = {"grant",  "use",      "hold",    "capture", "release",
                                       "refund", "void_lot", "reverse", "nothing"};
  out << "+" << step.wait << " " << kNames[step.kind] << " " << step.amount << " pick " << step.pick
      << " variant " << step.variant;
}

namespace world {

inline constexpr Instant kBirth = 1'000;
inline const Access kAll{true, {"sub_1"}};
inline const Access kNone{};

inline rc::Gen<Step> step() {
  return rc::gen::build<Step>(rc::gen::set(&Step::kind, rc::gen::weightedElement<int>({{6, Step::grant},
                                                                                       {6, Step::use},
                                                                                       {3, Step::hold},
                                                                                       {2, Step::capture},
                                                                                       {2, Step::release},
                                                                                       {3, Step::refund},
                                                                                       {1, Step::void_lot},
                                                                                       {3, Step::reverse},
                                                                                       {1, Step::nothing}})),
                              rc::gen::set(&Step::wait, rc::gen::inRange<Instant>(0, 6)),
                              rc::gen::set(&Step::amount, rc::gen::inRange<Amount>(1, 20)),
                              rc::gen::set(&Step::pick, rc::gen::inRange(0, 8)),
                              rc::gen::set(&Step::variant, rc::gen::inRange(0, 1 << 12)));
}
inline rc::Gen<std::vector<Step>> steps() { return rc::gen::container<std::vector<Step>>(step()); }

// How rows come into memory, and how often somebody looks; none of which may matter.
struct Habits {
  bool looks_often = false;  // advances at every instant, not only when something is done
  bool rows_in_disorder = false;
  bool only_what_is_needed = false;  // as the store does: live lots, and those that a step names
};

class World {
 public:
  explicit World(Habits habits = {}) : habits_(habits) { account.advance(kBirth); }

  Account account;
  // What is left to give back of each debit, last burnt first.
  std::map<std::int64_t, std::vector<Burn>> debits;

  void perform(const std::vector<Step>& steps) {
    for (const Step& step : steps) perform(step);
  }
  void perform(const Step& step) {
    pass(step.wait);
    if (habits_.rows_in_disorder) std::reverse(account.lots.begin(), account.lots.end());
    if (step.kind == Step::capture || step.kind == Step::release || step.kind == Step::reverse)
      remember_series();
    const Access& access = step.variant % 4 == 0 ? kNone : kAll;
    switch (step.kind) {
      case Step::grant:
        grant(step);
        break;
      case Step::use:
        if (const Amount amount = std::min(step.amount, account.available(access)); amount > 0)
          remember(account.use(amount, access, note()));
        break;
      case Step::hold:
        if (account.available(access) >= step.amount)
          account.hold(step.amount, account.now() + 1 + step.pick, access, note());
        break;
      case Step::capture:
        if (const Hold* hold = open_hold(step.pick)) {
          const Amount more = step.amount - hold->amount;
          if (more <= account.available(access))
            remember(account.capture(hold->id, step.amount, access, note()));
        }
        break;
      case Step::release:
        if (const Hold* hold = open_hold(step.pick)) account.release(hold->id);
        break;
      case Step::refund:
        refund(step);
        break;
      case Step::void_lot:
        if (Lot* lot = lot_for(step.pick)) account.void_lot(lot->id, note());
        break;
      case Step::reverse:
        if (const Lot* lot = lot_for(step.pick); lot != nullptr && lot->started) {
          const Amount target = step.variant % 3 == 0 ? 0 : step.amount;
          account.reverse(lot->id, target, step.variant % 2 == 0 ? target : 0, note());
        }
        break;
      default:
        break;
    }
    forget();
  }
  void pass(Instant time) {
    const Instant end = now_ + time;
    if (account.next_due() <= end) remember_series();
    while (habits_.looks_often && now_ < end) account.advance(++now_);
    now_ = end;
    account.advance(now_);
  }
  // Everything in memory, in order.
  void gather() {
    remember_rows([](const Lot&) { return true; });
    std::sort(account.lots.begin(), account.lots.end(),
              [](const Lot& a, const Lot& b) { return a.id < b.id; });
  }

 private:
  static Note note() { return {}; }

  void grant(const Step& step) {
    Lot lot;
    lot.amount = step.amount;
    lot.priority = step.variant & 1 ? 50 : 10;
    if (step.variant & 2) lot.expires_at = now_ + 1 + step.pick;
    lot.requires_subscription = step.variant & 4;
    if (step.variant & 8) lot.subscription_id = step.variant & 16 ? "sub_1" : "sub_2";
    const bool later = (step.variant & 96) == 96;
    if (later) lot.effective_at = now_ + step.pick;
    if (step.variant & 128) {
      lot.series = "series";
      lot.cycle_start = now_ + (later ? step.pick : 0) - (step.variant & 256 ? 3 : 0);
      if (step.variant & 512) lot.rollover = {Rollover::Kind::limited, 1 + step.pick};
      if (step.variant & 1024) lot.rollover = {Rollover::Kind::all, 0};
      remember_series();
    }
    if (lot.expires_at && *lot.expires_at <= std::max(lot.effective_at, now_)) return;
    account.grant(std::move(lot), note());
  }

  void refund(const Step& step) {
    if (debits.empty()) return;
    auto debit = std::next(debits.begin(), step.pick % debits.size());
    std::vector<Burn> back;
    Amount amount = step.variant % 2 == 0 ? step.amount : kMost;
    for (Burn& burn : debit->second) {
      const Amount part = std::min(burn.amount, amount);
      if (part > 0) back.push_back({burn.lot_id, part});
      burn.amount -= part;
      amount -= part;
    }
    if (back.empty()) return;
    for (const Burn& burn : back) remember_rows([&](const Lot& row) { return row.id == burn.lot_id; });
    remember_series();
    account.refund(debit->first, back, note());
  }

  void remember(const Entry& entry) {
    std::vector<Burn>& left = debits[entry.id] = entry.burns;
    std::reverse(left.begin(), left.end());
  }

  const Hold* open_hold(int pick) {
    std::vector<const Hold*> open;
    for (const Hold& hold : account.holds)
      if (hold.status == Hold::Status::open) open.push_back(&hold);
    return open.empty() ? nullptr : open[pick % open.size()];
  }

  // Rows are not in one order: lots are picked by id.
  Lot* lot_for(int pick) {
    if (account.last_lot_id == 0) return nullptr;
    const std::int64_t id = 1 + pick % account.last_lot_id;
    remember_rows([&](const Lot& row) { return row.id == id; });
    return account.find_lot(id);
  }

  void forget() {
    if (!habits_.only_what_is_needed) return;
    for (std::size_t i = account.lots.size(); i-- > 0;) {
      if (account.lots[i].live()) continue;
      cellar_.push_back(account.lots[i]);
      account.lots.erase(account.lots.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  void remember_series() {
    remember_rows([](const Lot& row) { return !row.series.empty(); });
  }
  template <typename Wanted>
  void remember_rows(Wanted wanted) {
    for (std::size_t i = cellar_.size(); i-- > 0;) {
      if (!wanted(cellar_[i])) continue;
      account.lots.push_back(cellar_[i]);
      cellar_.erase(cellar_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }

  static constexpr Amount kMost = 1'000'000;
  Habits habits_;
  Instant now_ = kBirth;
  std::vector<Lot> cellar_;  // rows that are not loaded
};

}  // namespace world
}  // namespace billing::credits
