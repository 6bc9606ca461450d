// A batch of events, from parsed to committed: the one place where events take effect.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/customer_link.hpp"
#include "functions/work.hpp"
#include "settings.hpp"

namespace billing {

namespace inbox {
struct Stored;
}

struct BatchOptions {
  // Wait for rows that other transactions hold (a person's own call), instead of deferring the event.
  bool wait_for_locks = false;
  // Events that wait for a customer linked in this batch are applied in it, instead of being made due.
  bool apply_waiting = true;
  // Mode and scope were judged when the events came: what had its effect then keeps it in a rebuild.
  bool admitted = false;
  // Customers, linked ones, whose rows follow the mirror whether or not an event of theirs is in the batch.
  std::set<std::string> follow;
  // Links to make in this batch, by customer: a person's decision.
  std::map<std::string, LinkEvidence> links;
  std::string actor = "stripe";
  std::string reason;
};

// Parses the payload into its event; one that cannot be read is settled as failed for good.
void read_payload(Work& work);

// What became of an event.
struct Told {
  int ordinal = 0;  // as in Work
  std::string id;
  Outcome outcome = Outcome::processed;
  std::string error;
  std::string type;      // "" when it is not known
  std::string activity;  // what it did, as in audit_logs.action; "" when nothing
};
Told told_of(const Work& work);

// Applies the events: every step, once, in the current transaction. Returns those that were stored before and
// have been applied with these, because what they waited for has come.
std::vector<Told> run_batch(const std::vector<Work*>& works, const Settings& settings,
                            const BatchOptions& options);

// Applies the events in one subtransaction. When one raises, everything is undone and each is applied in its
// own; those that raise again are stored as failed. Errors of the system (not the event's) are re-thrown.
std::vector<Told> apply_batch(const std::vector<Work*>& works, const Settings& settings,
                              const BatchOptions& options = {});

// The same with events that are stored already, for another try.
std::vector<Told> apply_stored(std::vector<inbox::Stored>& stored, const Settings& settings,
                               const BatchOptions& options = {});

// Refuses transactions in which events cannot be applied safely: read-only, REPEATABLE READ and above,
// synchronous_commit = off.
void require_safe_transaction();

}  // namespace billing
