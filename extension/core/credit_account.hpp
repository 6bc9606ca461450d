// A credit account at work: lots, holds, the entries that a change writes, and what lapses by time alone.
//
// Pure: rows are loaded into an Account, an operation is performed on it, and what changed is written back.
// Readers load, advance to the instant that they are asked about, and write nothing; so what is read and what
// a job would have written are the same by construction. Amounts are whole credits.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/instant.hpp"
#include "core/json.hpp"

namespace billing::credits {

using Amount = std::int64_t;

// The amounts would leave the range of bigint.
class AmountError : public std::overflow_error {
 public:
  using std::overflow_error::overflow_error;
};

// What happens to what is left of a series' older lots when its next lot starts.
struct Rollover {
  enum class Kind { none, all, limited } kind = Kind::none;
  Amount limit = 0;
  bool operator==(const Rollover&) const = default;
};

// A grant. Once it has started: amount = remaining + spent + lapsed + reversed.
struct Lot {
  std::int64_t id = 0;
  Amount amount = 0;
  Amount remaining = 0;
  Amount held = 0;             // reserved by open holds; part of remaining
  Amount spent = 0;            // net of what was refunded
  Amount lapsed = 0;           // expired, or not carried over
  Amount reversed = 0;         // clawed back or voided
  Amount reversal_target = 0;  // what refunds and disputes of the payment take back in all
  Amount reversal_debt = 0;    // of that, what was spent already and became debt
  bool started = false;        // effective: its allocation is in the ledger
  bool voided = false;         // ended by hand: never starts, and keeps nothing that comes back
  int priority = 50;           // lower is burnt first
  Instant created_at = 0;
  Instant effective_at = 0;
  std::optional<Instant> expires_at;  // exclusive
  bool requires_subscription = false;
  std::string subscription_id;  // whose access it needs; "" = that of any subscription
  std::string series;           // lots of one subscription's rule follow each other; "" = stands alone
  Instant cycle_start = 0;      // its place in the series
  Rollover rollover;            // applied to the older lots of the series when this one starts

  // What only the tables and their readers need.
  std::string category;  // paid, promotional
  std::string source;
  std::string key;  // natural key of what is granted; "" for none
  std::string invoice_id;
  Json rule;  // the rule that was applied; not read back
  Json metadata;
  std::string description;

  bool is_new = false;
  bool changed = false;
  bool moved = false;  // cycle_start changed

  Amount free() const { return remaining - held; }
  Amount outstanding() const { return reversal_target - reversed - reversal_debt; }
  bool expired(Instant now) const { return expires_at && *expires_at <= now; }
  // Whether time or a later debit can still change it.
  bool live() const { return started ? remaining > 0 : may_start(); }
  bool may_start() const { return !started && !voided && reversal_target < amount; }
};

// Credits taken from, or given back to, one lot.
struct Burn {
  std::int64_t lot_id = 0;
  Amount amount = 0;
  bool operator==(const Burn&) const = default;
};

struct Hold {
  enum class Status { open, captured, released, expired };
  std::int64_t id = 0;
  Amount amount = 0;
  Status status = Status::open;
  Instant created_at = 0;
  Instant expires_at = 0;
  std::optional<Instant> closed_at;
  Amount captured = 0;
  std::int64_t transaction_id = 0;  // of the capture; 0 for none
  std::vector<Burn> lots;           // what is reserved, in burn order
  std::string description;
  std::string actor_id;
  Json metadata;

  bool is_new = false;
  bool changed = false;
};

enum class EntryType { allocation, usage, refund, expiry, clawback, adjustment };
const char* name_of(EntryType type);

// What the caller says about what it does; kept in the ledger.
struct Note {
  std::string description;
  std::string idempotency_key;
  std::string actor_id;
  Json metadata = Json::object();
};

// One line of the ledger.
struct Entry {
  std::int64_t id = 0;  // 1, 2, 3... per account, without gaps
  EntryType type = EntryType::usage;
  Amount amount = 0;  // signed
  Amount balance_after = 0;
  Amount debt_change = 0;
  Amount debt_after = 0;
  Instant effective_at = 0;    // when it counts from: the past, when something lapsed before it was written
  std::int64_t lot_id = 0;     // the one lot that it is about; 0 for usage and refund, which have burns
  std::int64_t refers_to = 0;  // a refund's debit
  std::int64_t hold_id = 0;
  std::vector<Burn> burns;  // usage and refund: per lot, positive
  Note note;
};

// Whose subscriptions give access now: what decides over lots that require one.
struct Access {
  bool any = false;
  std::set<std::string> subscriptions;
  bool covers(const Lot& lot) const {
    return !lot.requires_subscription ||
           (lot.subscription_id.empty() ? any : subscriptions.count(lot.subscription_id) > 0);
  }
};

// The order in which lots are burnt: priority, expires_at (never last), created_at, id.
std::strong_ordering burn_order(const Lot& a, const Lot& b);

class Account {
 public:
  std::string user_id;
  Amount balance = 0;  // what started and has not been used, lapsed or reversed
  Amount held = 0;     // part of balance
  Amount debt = 0;     // clawed back after it was spent; while there is any, nothing is available
  std::int64_t last_entry_id = 0;
  std::int64_t last_lot_id = 0;
  std::int64_t last_hold_id = 0;
  Instant last_entry_at = kBeginningOfTime;
  std::vector<Lot> lots;       // live ones at least; every one that an operation names
  std::vector<Hold> holds;     // open ones at least
  std::vector<Entry> entries;  // written by this change, in order
  bool changed = false;
  // What credits_low has to know: the balance as it was loaded, the thresholds of this account (none: those
  // of everybody), and from where on those that are no lower have been told of.
  Amount balance_at_load = 0;
  std::optional<std::vector<Amount>> low_thresholds;
  std::optional<Amount> low_told;
  bool holds_known = true;  // false: open holds are not loaded, and none is due before `due_at_load`
  Instant due_at_load = kEndOfTime;
  std::optional<Instant> frozen_time;  // what the test clock of its user shows

  // Everything that is due by `now` happens, in order of time: holds end, lots end, lots start. To be called
  // first; operations below take place at this instant.
  void advance(Instant now);
  Instant now() const { return now_; }
  // No later than the next instant at which advance() would do something; kEndOfTime for none.
  Instant next_due() const;

  // Not held, not owed, and covered by the access.
  Amount available(const Access& access) const;
  // The same, were every subscription in order.
  Amount available() const;

  // Takes credits in burn order; the caller has made sure that they are available.
  const Entry& use(Amount amount, const Access& access, const Note& note);
  // Adds a lot and starts it when its time has come. Returns its id.
  std::int64_t grant(Lot lot, const Note& note);
  // Reserves credits in burn order.
  const Hold& hold(Amount amount, Instant expires_at, const Access& access, const Note& note);
  // Uses `amount` of an open hold, what exceeds it from what is available, and releases the rest.
  const Entry& capture(std::int64_t hold_id, Amount amount, const Access& access, const Note& note);
  void release(std::int64_t hold_id);

  struct Restored {
    std::int64_t entry_id = 0;
    Amount lapsed = 0;  // of it, what went to lots that have expired
    std::vector<Burn> burns;
  };
  // Gives back to the lots of debit `entry_id` what `burns` says, in that order; the caller has made sure
  // that it is no more than was taken.
  Restored refund(std::int64_t entry_id, const std::vector<Burn>& burns, const Note& note);

  // Sets what is taken back of a lot in all, and how much of that may become debt when it has been spent.
  // Lowering it gives back.
  void reverse(std::int64_t lot_id, Amount target, Amount debt_limit, const Note& note);
  // Ends a lot by hand: what is neither spent nor held is taken. Returns how much.
  Amount void_lot(std::int64_t lot_id, const Note& note);

  Lot* find_lot(std::int64_t id);
  Hold* find_hold(std::int64_t id);

 private:
  Entry& write(EntryType type, Amount amount, Instant effective_at, const Note& note);
  std::vector<Lot*> in_burn_order(const Access* access, Instant at);
  std::vector<Burn> take(Amount amount, const Access& access, bool reserve);
  void start(Lot& lot);
  void lapse(Lot& lot, Amount amount, Instant at);
  void end_hold(Hold& hold, Hold::Status status, Instant at);
  void settle(Instant at);
  void settle_series_of(const Hold& hold, Instant at);
  void settle_series(const std::string& series, Instant at);
  void settle_reversal(Lot& lot, Instant at, const Note& note);
  void give_back(const Lot& like, Amount amount, const Note& note);
  void settle_debt(Instant at);

  Instant now_ = kBeginningOfTime;
};

}  // namespace billing::credits
