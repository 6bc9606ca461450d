// The order of several events of one object within one second, as far as they tell it themselves.
//
// Stripe stamps events in whole seconds. What an update changed is in its previous_attributes: put back into
// its object they give the snapshot before it, which is the snapshot of the event before it. If the events of
// a second link up into one chain in this way, its end is the object's last state, whatever order they
// arrived in.
#pragma once

#include <vector>

#include "core/event.hpp"

namespace billing {

struct LastOfSecond {
  const Event* event = nullptr;  // never null
  bool certain = false;          // the events form one complete chain; otherwise the greatest rank stands in
};

// `events` are distinct events of one object, of one second and of one finality (core/ordering.hpp); not
// empty. A pure function of the set: their order does not matter. Several events that carry the same snapshot
// count once.
LastOfSecond last_of_second(const std::vector<const Event*>& events);

// The object as it was before the event; the object itself where the event does not say what it changed.
Json object_before(const Event& event);

}  // namespace billing
