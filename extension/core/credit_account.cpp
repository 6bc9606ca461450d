#include "core/credit_account.hpp"

#include <algorithm>
#include <tuple>

namespace billing::credits {

namespace {

Amount sum(Amount a, Amount b) {
  Amount result = 0;
  if (__builtin_add_overflow(a, b, &result))
    throw AmountError("the balance would exceed the range of bigint");
  return result;
}

}  // namespace

const char* name_of(EntryType type) {
  switch (type) {
    case EntryType::allocation:
      return "allocation";
    case EntryType::usage:
      return "usage";
    case EntryType::refund:
      return "refund";
    case EntryType::expiry:
      return "expiry";
    case EntryType::clawback:
      return "clawback";
    case EntryType::adjustment:
      break;
  }
  return "adjustment";
}

std::strong_ordering burn_order(const Lot& a, const Lot& b) {
  const Instant a_end = a.expires_at.value_or(kEndOfTime);
  const Instant b_end = b.expires_at.value_or(kEndOfTime);
  return std::tie(a.priority, a_end, a.created_at, a.id) <=> std::tie(b.priority, b_end, b.created_at, b.id);
}

Lot* Account::find_lot(std::int64_t id) {
  const auto found = std::find_if(lots.begin(), lots.end(), [&](const Lot& lot) { return lot.id == id; });
  return found == lots.end() ? nullptr : &*found;
}

Hold* Account::find_hold(std::int64_t id) {
  const auto found =
      std::find_if(holds.begin(), holds.end(), [&](const Hold& hold) { return hold.id == id; });
  return found == holds.end() ? nullptr : &*found;
}

Entry& Account::write(EntryType type, Amount amount, Instant effective_at, const Note& note) {
  balance = sum(balance, amount);
  changed = true;
  Entry entry;
  entry.id = ++last_entry_id;
  entry.type = type;
  entry.amount = amount;
  entry.balance_after = balance;
  entry.debt_after = debt;
  entry.effective_at = effective_at;
  entry.note = note;
  last_entry_at = now_;
  entries.push_back(std::move(entry));
  return entries.back();
}

// Started lots with something free, those that the access covers, or all.
std::vector<Lot*> Account::in_burn_order(const Access* access, Instant at) {
  std::vector<Lot*> usable;
  for (Lot& lot : lots)
    if (lot.started && lot.free() > 0 && !lot.expired(at) && (access == nullptr || access->covers(lot)))
      usable.push_back(&lot);
  std::sort(usable.begin(), usable.end(), [](const Lot* a, const Lot* b) { return burn_order(*a, *b) < 0; });
  return usable;
}

Amount Account::available(const Access& access) const {
  if (debt > 0) return 0;
  Amount total = 0;
  for (const Lot& lot : lots)
    if (lot.started && !lot.expired(now_) && access.covers(lot)) total = sum(total, lot.free());
  return total;
}

Amount Account::available() const {
  if (debt > 0) return 0;
  Amount total = 0;
  for (const Lot& lot : lots)
    if (lot.started && !lot.expired(now_)) total = sum(total, lot.free());
  return total;
}

// Spends or reserves; both in burn order.
std::vector<Burn> Account::take(Amount amount, const Access& access, bool reserve) {
  std::vector<Burn> burns;
  for (Lot* lot : in_burn_order(&access, now_)) {
    if (amount == 0) break;
    const Amount part = std::min(amount, lot->free());
    if (reserve) {
      lot->held += part;
    } else {
      lot->remaining -= part;
      lot->spent += part;
    }
    lot->changed = true;
    amount -= part;
    burns.push_back({lot->id, part});
  }
  if (amount > 0) throw std::logic_error("more credits taken than there are");
  return burns;
}

const Entry& Account::use(Amount amount, const Access& access, const Note& note) {
  std::vector<Burn> burns = take(amount, access, false);
  Entry& entry = write(EntryType::usage, -amount, now_, note);
  entry.burns = std::move(burns);
  return entry;
}

std::int64_t Account::grant(Lot lot, const Note& note) {
  // What starts later must fit too: by then nobody could be told.
  Amount total = sum(balance, lot.amount);
  for (const Lot& other : lots)
    if (other.may_start()) total = sum(total, other.amount);
  lot.id = ++last_lot_id;
  lot.created_at = now_;
  lot.is_new = lot.changed = changed = true;
  if (lot.effective_at == 0) lot.effective_at = now_;
  lot.description = note.description;
  lot.metadata = note.metadata;
  lots.push_back(std::move(lot));
  const std::int64_t id = lots.back().id;
  const std::size_t first = entries.size();
  advance(now_);
  for (std::size_t i = first; i < entries.size(); ++i)
    if (entries[i].lot_id == id && entries[i].type == EntryType::allocation) entries[i].note = note;
  return id;
}

const Hold& Account::hold(Amount amount, Instant expires_at, const Access& access, const Note& note) {
  Hold made;
  made.id = ++last_hold_id;
  made.amount = amount;
  made.created_at = now_;
  made.expires_at = expires_at;
  made.lots = take(amount, access, true);
  made.description = note.description;
  made.actor_id = note.actor_id;
  made.metadata = note.metadata;
  made.is_new = made.changed = changed = true;
  held = sum(held, amount);
  holds.push_back(std::move(made));
  return holds.back();
}

const Entry& Account::capture(std::int64_t hold_id, Amount amount, const Access& access, const Note& note) {
  Hold& hold = *find_hold(hold_id);
  Amount left = std::min(amount, hold.amount);
  std::vector<Burn> burns;
  for (const Burn& reserved : hold.lots) {
    const Amount part = std::min(left, reserved.amount);
    if (part == 0) continue;
    Lot& lot = *find_lot(reserved.lot_id);
    lot.remaining -= part;
    lot.spent += part;
    left -= part;
    burns.push_back({lot.id, part});
  }
  hold.captured = amount;
  end_hold(hold, Hold::Status::captured, now_);
  if (amount > hold.amount) {
    for (const Burn& more : take(amount - hold.amount, access, false)) {
      const auto same = std::find_if(burns.begin(), burns.end(),
                                     [&](const Burn& burn) { return burn.lot_id == more.lot_id; });
      if (same == burns.end())
        burns.push_back(more);
      else
        same->amount += more.amount;
    }
  }
  Entry& entry = write(EntryType::usage, -amount, now_, note);
  entry.hold_id = hold_id;
  entry.burns = std::move(burns);
  hold.transaction_id = entry.id;
  const std::size_t position = entries.size() - 1;
  settle_series_of(hold, now_);
  settle(now_);
  return entries[position];
}

void Account::release(std::int64_t hold_id) {
  end_hold(*find_hold(hold_id), Hold::Status::released, now_);
  settle_series_of(*find_hold(hold_id), now_);
  settle(now_);
}

void Account::end_hold(Hold& hold, Hold::Status status, Instant at) {
  for (const Burn& reserved : hold.lots) {
    Lot& lot = *find_lot(reserved.lot_id);
    lot.held -= reserved.amount;
    lot.changed = true;
  }
  hold.status = status;
  hold.closed_at = at;
  hold.changed = changed = true;
  held -= hold.amount;
}

Account::Restored Account::refund(std::int64_t entry_id, const std::vector<Burn>& burns, const Note& note) {
  Restored restored;
  restored.burns = burns;
  Amount total = 0;
  for (const Burn& burn : burns) {
    Lot& lot = *find_lot(burn.lot_id);
    lot.remaining += burn.amount;
    lot.spent -= burn.amount;
    lot.changed = true;
    total += burn.amount;
  }
  Entry& entry = write(EntryType::refund, total, now_, note);
  entry.refers_to = entry_id;
  entry.burns = burns;
  restored.entry_id = entry.id;
  const std::size_t before = entries.size();
  for (const Burn& burn : burns) settle_series(find_lot(burn.lot_id)->series, now_);
  settle(now_);
  for (std::size_t i = before; i < entries.size(); ++i)
    if (entries[i].type == EntryType::expiry) restored.lapsed -= entries[i].amount;
  return restored;
}

void Account::reverse(std::int64_t lot_id, Amount target, Amount debt_limit, const Note& note) {
  Lot& lot = *find_lot(lot_id);
  lot.reversal_target = std::min(target, lot.amount);
  lot.changed = changed = true;
  if (!lot.started) return;
  // What was taken too much: what is still owed is forgiven, then what was taken of the lot comes back to it.
  // What others paid of the debt comes as a lot of its own: this one's credits were spent, and may yet be
  // refunded.
  const Amount taken = lot.voided ? 0 : lot.reversed;  // what a person took does not come back
  const Amount more_than_target = taken + lot.reversal_debt - lot.reversal_target;
  const Amount more_than_owed = lot.reversal_debt - debt_limit;
  const Amount excess = std::max(more_than_target, more_than_owed);
  if (excess > 0) {
    const Amount forgiven = std::min({excess, lot.reversal_debt, debt});
    const Amount paid = std::min(excess, lot.reversal_debt) - forgiven;
    const Amount back = excess - forgiven - paid;
    debt -= forgiven;
    lot.reversal_debt -= forgiven + paid;
    lot.reversed -= back;
    lot.remaining += back;
    if (back > 0 || forgiven > 0) {
      Entry& entry = write(EntryType::clawback, back, now_, note);
      entry.lot_id = lot.id;
      entry.debt_change = -forgiven;
    }
    const Lot like = lot;
    settle_series(like.series, now_);
    settle(now_);
    if (paid > 0) give_back(like, paid, note);
    return;
  }
  settle_reversal(lot, now_, note);
  const Amount owed =
      std::min({lot.outstanding(), lot.spent - lot.reversal_debt, debt_limit - lot.reversal_debt});
  if (owed > 0) {
    lot.reversal_debt += owed;
    debt = sum(debt, owed);
    Entry& entry = write(EntryType::clawback, 0, now_, note);
    entry.lot_id = lot.id;
    entry.debt_change = owed;
  }
  settle(now_);
}

void Account::give_back(const Lot& like, Amount amount, const Note& note) {
  Lot lot;
  lot.amount = amount;
  lot.priority = like.priority;
  lot.category = like.category;
  lot.source = "reinstated";
  lot.rule = Json{{"reinstates", like.id}};
  grant(std::move(lot), note);
}

Amount Account::void_lot(std::int64_t lot_id, const Note& note) {
  Lot& lot = *find_lot(lot_id);
  lot.voided = lot.changed = changed = true;
  if (!lot.started) return 0;
  const Amount taken = lot.free();
  if (taken == 0) return 0;
  lot.remaining -= taken;
  lot.reversed += taken;
  write(EntryType::adjustment, -taken, now_, note).lot_id = lot.id;
  return taken;
}

}  // namespace billing::credits
