// stripe_events and stripe_event_payloads: what was received and what became of it.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "functions/work.hpp"
#include "settings.hpp"

namespace billing::inbox {

// The ids of these that are stored already.
std::set<std::string> find_known_events(const std::vector<Work*>& works);

// How often each id arrived again.
using Arrivals = std::map<std::string, std::int64_t>;
// Counts them without waiting; returns those whose row another transaction holds.
Arrivals count_duplicates(const Arrivals& arrivals);
// Waits for those rows, at most lock_timeout.
void count_held_duplicates(const Arrivals& arrivals);

// Stores new events with their final outcome; those that another transaction stored meanwhile become
// duplicates.
void insert(const std::vector<Work*>& works, const Settings& settings);

// Writes the outcome of events that are stored already.
void update(const std::vector<Work*>& works, const Settings& settings);

// A stored event, taken for another try. Owns what its Work points to.
struct Stored {
  std::string payload;
  bool payload_kept = true;
  bool processed = false;
  Work work;
};

// Locks up to `max_rows` events whose retry is due, oldest first, skipping those that others hold.
std::vector<Stored> claim_due(const Settings& settings, int max_rows);
// Locks the events that wait for `what` (at most 200; the rest is made due). It waits for those that others
// hold: one passed over here would wait for ever. Whoever holds one never waits for a link.
std::vector<Stored> claim_waiting(const std::vector<std::string>& what);
// Makes the events that wait for `what` due at once.
void make_due(const std::vector<std::string>& what);
// Makes processed events due that did without `what`, and would have had more effect with it.
void reopen(const std::vector<std::string>& what);
// Locks those of these events that are not processed, waiting for them.
std::vector<Stored> claim(const std::vector<std::string>& ids);
// Locks one event, waiting for it; empty when there is none.
std::vector<Stored> claim_one(const std::string& stripe_event_id);

}  // namespace billing::inbox
