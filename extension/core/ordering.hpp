// Which of two snapshots of one Stripe object is the later one, whatever order they arrived in.
//
// The state of an object is a pure function of the *set* of events received for it. Ranks form a total order,
// and the highest rank wins; a maximum does not depend on the order in which it is taken, nor on duplicates.
#pragma once

#include <compare>
#include <string>

#include "core/event.hpp"

namespace billing {

// Compared member by member, in this order.
struct Rank {
  int finality = 0;      // 0 live, 1 terminal status, 2 deleted: the later absorb the earlier for ever
  Seconds created = 0;   // event.created
  int origin = 0;        // 0 embedded in another object's event, 1 a `.created` event, 2 any other event
  int lifecycle = 0;     // how far along its life the object's status is
  std::string event_id;  // bytewise, so that two snapshots never tie

  auto operator<=>(const Rank&) const = default;
};

Rank rank_of(const Event& event);

// A status that the object never leaves: subscription canceled, incomplete_expired; invoice paid, void; ...
bool is_terminal(const std::string& object_type, const Json& object);
// Position in the object's life; 0 where the type has no statuses or the status is unknown.
int lifecycle_rank(const std::string& object_type, const Json& object);

}  // namespace billing
