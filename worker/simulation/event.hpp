// Events as the simulation makes them, and a count of what happened.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "worker/simulation/random.hpp"
#include "worker/simulation/shapes.hpp"

namespace billing::simulation {

struct Emitted {
  Seconds created = 0;
  std::string id;
  std::string type;
  std::string payload;
  std::string snapshot;    // the object as the API answers it; "" unless the scenario asks for it
  bool held_back = false;  // delivered behind everything else
};

// `previous` is left out when null.
Emitted make_event(Random& random, std::string_view type, const Json& object, const Json& previous,
                   Seconds created, const Shape& shape);
// What an event's request member says: who made it happen. Both empty when Stripe itself did.
struct Cause {
  std::string request, idempotency_key;
};
std::string event_payload(const std::string& id, std::string_view type, const Json& object,
                          const Json& previous, Seconds created, const Shape& shape, const Cause& cause);
// The same change told again under another id.
Emitted told_again(Random& random, const Emitted& event);
// What concerns nobody: types and objects that nobody knows, and events of the other mode, which name
// `user_id` and must have no effect all the same.
Emitted unknown_event(Random& random, Seconds created, const Shape& shape);
Emitted other_mode_event(Random& random, const std::string& user_id, Json subscription, Seconds created,
                         const Shape& shape);

struct Tally {
  using Counts = std::map<std::string, std::uint64_t, std::less<>>;
  Counts types, versions, paths, happenings, evidence;

  static void count(Counts& counts, std::string_view name) {
    const auto found = counts.find(name);
    if (found != counts.end())
      ++found->second;
    else
      counts.emplace(name, 1);
  }
};

}  // namespace billing::simulation
