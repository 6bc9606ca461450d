// What time alone does to an account, and what follows from every change: one place for both.
#include <algorithm>
#include <tuple>

#include "core/credit_account.hpp"

namespace billing::credits {

namespace {

// What is due at one instant happens in this order: a hold that ends gives its credits to lots that may end
// too; and a lot that starts where the former of its series ends may carry what is left of it over.
enum class Due { hold_ends, lot_starts, lot_ends };

struct Moment {
  Instant at;
  Due what;
  std::int64_t id;
  auto operator<=>(const Moment&) const = default;
};

std::optional<Moment> moment_of(const Hold& hold) {
  if (hold.status != Hold::Status::open) return std::nullopt;
  return Moment{hold.expires_at, Due::hold_ends, hold.id};
}

std::optional<Moment> moment_of(const Lot& lot) {
  if (!lot.started) {
    if (!lot.may_start()) return std::nullopt;
    return Moment{lot.effective_at, Due::lot_starts, lot.id};
  }
  if (lot.free() == 0 || !lot.expires_at) return std::nullopt;
  return Moment{*lot.expires_at, Due::lot_ends, lot.id};
}

template <typename Things>
void earliest(const Things& things, std::optional<Moment>& first) {
  for (const auto& thing : things) {
    const std::optional<Moment> moment = moment_of(thing);
    if (moment && (!first || *moment < *first)) first = moment;
  }
}

}  // namespace

Instant Account::next_due() const {
  std::optional<Moment> first;
  earliest(holds, first);
  earliest(lots, first);
  const Instant next = first ? first->at : kEndOfTime;
  return holds_known ? next : std::min(next, due_at_load);
}

void Account::advance(Instant now) {
  now_ = std::max(now, last_entry_at);
  for (;;) {
    std::optional<Moment> first;
    earliest(holds, first);
    earliest(lots, first);
    if (!first || first->at > now_) return;
    switch (first->what) {
      case Due::hold_ends:
        end_hold(*find_hold(first->id), Hold::Status::expired, first->at);
        settle_series_of(*find_hold(first->id), first->at);
        break;
      case Due::lot_ends: {
        Lot& lot = *find_lot(first->id);
        lapse(lot, lot.free(), first->at);
        break;
      }
      case Due::lot_starts:
        start(*find_lot(first->id));
        break;
    }
    settle(first->at);
  }
}

void Account::start(Lot& lot) {
  lot.started = lot.changed = true;
  lot.remaining = lot.amount;
  Note note;
  note.description = lot.description;
  note.metadata = lot.metadata;
  write(EntryType::allocation, lot.amount, lot.effective_at, note).lot_id = lot.id;
  settle_series(lot.series, lot.effective_at);
}

void Account::lapse(Lot& lot, Amount amount, Instant at) {
  if (amount <= 0) return;
  lot.remaining -= amount;
  lot.lapsed += amount;
  lot.changed = true;
  Note note;
  note.metadata = lot.metadata;
  write(EntryType::expiry, -amount, std::max(at, lot.effective_at), note).lot_id = lot.id;
}

// What holds after every change, whatever it was: what is to be taken back is taken as soon as it is there,
// lots that are over keep nothing that is not held, and debt is paid.
void Account::settle(Instant at) {
  // In an order that does not depend on how rows came into memory.
  std::vector<Lot*> started;
  for (Lot& lot : lots)
    if (lot.started) started.push_back(&lot);
  std::sort(started.begin(), started.end(), [](const Lot* a, const Lot* b) { return a->id < b->id; });
  for (Lot* lot : started)
    if (lot->outstanding() > 0) settle_reversal(*lot, at, Note{});
  // A lot that somebody ended by hand, or that is over, gives nothing back.
  for (Lot* lot : started)
    if (lot->free() > 0 && (lot->voided || lot->expired(at))) lapse(*lot, lot->free(), at);
  settle_debt(at);
}

// The newest lot of a series says what its older ones may keep. To be called when one starts, and when
// something comes back to one; then all of the series are loaded that can matter.
void Account::settle_series(const std::string& series, Instant at) {
  if (series.empty()) return;
  std::vector<Lot*> started;
  for (Lot& lot : lots)
    if (lot.started && lot.series == series) started.push_back(&lot);
  std::sort(started.begin(), started.end(), [](const Lot* a, const Lot* b) {
    return std::tie(a->cycle_start, a->id) < std::tie(b->cycle_start, b->id);
  });
  const Lot& newest = *started.back();
  Amount carried = 0;
  std::vector<Lot*> older;
  for (Lot* lot : started) {
    if (lot->cycle_start == newest.cycle_start) continue;
    older.push_back(lot);
    // One that ends at this very instant has not lapsed yet.
    if (lot->expires_at && *lot->expires_at < at) continue;
    carried += lot->remaining;
    const auto end = newest.rollover.kind == Rollover::Kind::none ? std::optional(at)
                     : lot->expires_at && newest.expires_at
                         ? std::optional(std::max(*lot->expires_at, *newest.expires_at))
                         : std::nullopt;
    if (lot->expires_at == end) continue;
    lot->expires_at = end;
    lot->changed = changed = true;
  }
  if (newest.rollover.kind != Rollover::Kind::limited) return;
  Amount excess = carried - newest.rollover.limit;
  for (Lot* lot : older) {
    const Amount part = std::min(excess, lot->free());
    if (part <= 0) continue;
    lapse(*lot, part, at);
    excess -= part;
  }
}

// What comes back may be more than the next lot let stay.
void Account::settle_series_of(const Hold& hold, Instant at) {
  for (const Burn& reserved : hold.lots) settle_series(std::string(find_lot(reserved.lot_id)->series), at);
}

void Account::settle_reversal(Lot& lot, Instant at, const Note& note) {
  const Amount taken = std::min(lot.outstanding(), lot.free());
  if (taken <= 0) return;
  lot.remaining -= taken;
  lot.reversed += taken;
  lot.changed = true;
  write(EntryType::clawback, -taken, at, note).lot_id = lot.id;
}

void Account::settle_debt(Instant at) {
  if (debt == 0) return;
  for (Lot* lot : in_burn_order(nullptr, at)) {
    if (debt == 0) break;
    const Amount paid = std::min(debt, lot->free());
    lot->remaining -= paid;
    lot->spent += paid;
    lot->changed = true;
    debt -= paid;
    Note note;
    note.metadata = Json{{"pays", "debt"}};
    Entry& entry = write(EntryType::clawback, -paid, at, note);
    entry.lot_id = lot->id;
    entry.debt_change = -paid;
  }
}

}  // namespace billing::credits
