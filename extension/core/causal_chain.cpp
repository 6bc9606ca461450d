#include "core/causal_chain.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>

#include "core/ordering.hpp"
#include "core/test_clock.hpp"

namespace billing {

namespace {

// Null and absent mean the same to Stripe, and previous_attributes lists a member that was absent as null.
Json without_nulls(const Json& value) {
  if (!value.is_object()) return value;
  Json kept = Json::object();
  for (const auto& [key, member] : value.items())
    if (!member.is_null()) kept[key] = without_nulls(member);
  return kept;
}

// Objects are listed with the members that changed, everything else (arrays too) whole.
void put_back(Json& object, const Json& previous) {
  for (const auto& [key, value] : previous.items()) {
    Json& member = object[key];
    if (value.is_object() && member.is_object())
      put_back(member, value);
    else
      member = value;
  }
}

std::string fingerprint(const Json& object) { return to_text(without_nulls(object)); }

// A state that the object was in during the second.
struct State {
  const Event* told_by = nullptr;  // of several events with the same snapshot the one with the greatest id
  bool created = false;            // by a `.created` event: nothing was before
  std::set<std::string> before;    // fingerprints of what update events say was before
};

using States = std::map<std::string, State>;

States states_of(const std::vector<const Event*>& events) {
  States states;
  for (const Event* event : events) {
    const std::string now = fingerprint(event->object);
    State& state = states[now];
    if (state.told_by == nullptr || event->id > state.told_by->id) state.told_by = event;
    if (event->type.ends_with(".created")) state.created = true;
    if (!event->previous_attributes.is_object()) continue;
    std::string before = fingerprint(object_before(*event));
    if (before != now) state.before.insert(std::move(before));
  }
  return states;
}

// The end of the chain, when the states form exactly one: a single head, every other state after one other
// state, no state after two, and all of them on the way from the head.
const State* end_of_chain(const States& states) {
  std::map<std::string, const std::string*> next;
  const std::string* head = nullptr;
  for (const auto& [name, state] : states) {
    if (state.before.size() > 1) return nullptr;
    const bool follows = !state.before.empty() && states.count(*state.before.begin()) > 0;
    if (state.created && !state.before.empty()) return nullptr;
    if (!follows) {
      if (head != nullptr) return nullptr;
      head = &name;
    } else if (!next.emplace(*state.before.begin(), &name).second) {
      return nullptr;
    }
  }
  if (head == nullptr) return nullptr;
  std::size_t length = 1;
  const std::string* last = head;
  for (auto step = next.find(*last); step != next.end(); step = next.find(*last)) {
    last = step->second;
    ++length;
  }
  if (length != states.size()) return nullptr;
  // A chain that was there before the object was created is no chain.
  for (const auto& [name, state] : states)
    if (state.created && &name != head) return nullptr;
  return &states.at(*last);
}

bool one_version(const std::vector<const Event*>& events) {
  return std::all_of(events.begin(), events.end(),
                     [&](const Event* event) { return event->api_version == events.front()->api_version; });
}

// A test clock is never set back, so its own time tells the order, though its events say nothing of what they
// changed.
const Event* latest_of_clock(const std::vector<const Event*>& events) {
  const auto place = [](const Event* event) {
    return std::make_tuple(time_of(event->object, "frozen_time").value_or(0), rank_of(*event));
  };
  return *std::max_element(events.begin(), events.end(),
                           [&](const Event* a, const Event* b) { return place(a) < place(b); });
}

}  // namespace

Json object_before(const Event& event) {
  Json before = event.object;
  if (event.previous_attributes.is_object() && before.is_object())
    put_back(before, event.previous_attributes);
  return before;
}

LastOfSecond last_of_second(const std::vector<const Event*>& events) {
  if (events.front()->object_type == kTestClock) return {latest_of_clock(events), true};
  // One alone is a chain, save where it contradicts itself: nothing was before what was created.
  const Event& first = *events.front();
  if (events.size() == 1 && !(first.type.ends_with(".created") && first.previous_attributes.is_object()))
    return {&first, true};
  // Snapshots of different API versions cannot be compared.
  if (one_version(events)) {
    const States states = states_of(events);
    if (const State* last = end_of_chain(states)) return {last->told_by, true};
  }
  const auto later = [](const Event* a, const Event* b) { return rank_of(*a) < rank_of(*b); };
  return {*std::max_element(events.begin(), events.end(), later), false};
}

}  // namespace billing
