// Any events of one object within one second: which of them is the last does not depend on their order or on
// duplicates, and where a chain is claimed for a true history, it is the true one.
// Input: choices (choices.hpp); the first byte tells true histories, steps and arbitrary events apart.
#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "choices.hpp"
#include "core/causal_chain.hpp"
#include "core/ordering.hpp"

namespace {

using namespace billing;

constexpr std::array kKeys = {"status", "quantity", "metadata", "items", "data", "k", "pause_collection", ""};
constexpr std::array kTexts = {"", "1", "active", "trialing", "past_due", "canceled", "paid", "frozen"};
constexpr std::array kTypes = {"subscription", "invoice", "refund", "price", ""};
constexpr Seconds kSecond = 1767225600;

// Null and absent mean the same to Stripe.
Json without_nulls(const Json& value) {
  if (!value.is_object()) return value;
  Json kept = Json::object();
  for (const auto& [key, member] : value.items())
    if (!member.is_null()) kept[key] = without_nulls(member);
  return kept;
}
std::string plain(const Json& value) { return to_text(without_nulls(value)); }

// Distinct for every number, and in an order that the choices decide.
std::string event_id(Choices& choices, std::size_t number) {
  return std::string("evt_") + static_cast<char>('A' + choices.below(26)) + std::to_string(number);
}

std::vector<const Event*> pointers(const std::vector<Event>& events) {
  std::vector<const Event*> all;
  for (const Event& event : events) all.push_back(&event);
  return all;
}

// What previous_attributes says of a change, as Stripe writes it: changed members of objects, arrays whole,
// null for what was absent.
Json difference(const Json& before, const Json& after) {
  Json changed = Json::object();
  for (const auto& [key, value] : after.items()) {
    const Json& old = at(before, key.c_str());
    if (old == value) continue;
    changed[key] = old.is_object() && value.is_object() ? difference(old, value) : old;
  }
  for (const auto& [key, value] : before.items())
    if (!after.contains(key)) changed[key] = value;
  return changed;
}

void check_rank_order(const std::vector<Event>& events) {
  std::vector<Rank> ranks;
  for (const Event& event : events) ranks.push_back(rank_of(event));
  for (const Rank& a : ranks) {
    require(!(a < a));
    for (const Rank& b : ranks) {
      if (&a != &b) require((a < b) != (b < a));
      if (a.finality > b.finality) require(b < a);
      if (a.finality == b.finality && a.created > b.created) require(b < a);
      for (const Rank& c : ranks)
        if (a < b && b < c) require(a < c);
    }
  }
}

void check_object_before(const Event& event) {
  Event again = event;
  again.object = object_before(event);
  require(object_before(again) == again.object);
  for (const Json& nothing : {Json(), Json::object(), event.object}) {
    again = event;
    again.previous_attributes = nothing;
    require(object_before(again) == event.object);
  }
}

// Going back from the last state, change by change, leads through all of them.
void check_chain(const std::vector<Event>& events, const Event& last) {
  std::set<std::string> states;
  std::map<std::string, std::string> before;
  for (const Event& event : events) {
    require(event.api_version == last.api_version);
    const std::string now = plain(event.object);
    states.insert(now);
    if (!event.previous_attributes.is_object()) continue;
    const std::string was = plain(object_before(event));
    if (was != now) require(before.emplace(now, was).first->second == was);
  }
  for (std::string state = plain(last.object); states.erase(state) > 0; state = before[state])
    if (before.count(state) == 0) break;
  require(states.empty());
}

LastOfSecond check_order_and_duplicates(const std::vector<Event>& events, Choices& choices) {
  std::vector<const Event*> order = pointers(events);
  const LastOfSecond last = last_of_second(order);
  require(std::find(order.begin(), order.end(), last.event) != order.end());
  if (last.certain) check_chain(events, *last.event);
  const auto same = [&last](const LastOfSecond& other) {
    require(other.event == last.event && other.certain == last.certain);
  };
  std::reverse(order.begin(), order.end());
  same(last_of_second(order));
  for (std::size_t i = 0; i < order.size(); ++i) {
    std::rotate(order.begin(), order.begin() + 1, order.end());
    same(last_of_second(order));
  }
  // The same again under another id.
  Event copy = events[choices.below(events.size())];
  copy.id = event_id(choices, events.size());
  order.push_back(&copy);
  const LastOfSecond with_copy = last_of_second(order);
  require(with_copy.certain == last.certain);
  if (last.certain) require(plain(with_copy.event->object) == plain(last.event->object));
  return last;
}

Json changed(Json state, Choices& choices) {
  switch (choices.below(5)) {
    case 0:
      state["status"] = choices.one_of(kTexts);
      break;
    case 1:
      state["quantity"] = choices.byte();
      break;
    case 2:
      state["metadata"]["k"] = choices.one_of(kTexts);
      break;
    case 3:
      state["items"] = choices.json(kKeys, kTexts, 2);
      break;
    default:
      state["pause_collection"] = choices.flip() ? Json{{"behavior", choices.one_of(kTexts)}} : Json(nullptr);
  }
  return state;
}

Event event_of(const std::string& id, const std::string& type, const Json& object) {
  Event event;
  event.id = id;
  event.type = type;
  event.created = kSecond;
  event.object = object;
  event.object_type = "subscription";
  event.object_id = "sub_1";
  return event;
}

// An object that never comes back to a state it was in: its chain is found, whatever the ids say, and never
// mistaken when an event is missing.
void check_true_history(Choices& choices) {
  std::vector<Event> events;
  Json state = {{"status", "active"}, {"quantity", 1}, {"metadata", Json::object()}};
  std::set<std::string> seen = {plain(state)};
  if (choices.flip()) events.push_back(event_of(event_id(choices, 0), "subscription.created", state));
  for (std::size_t left = choices.below(7); left > 0; --left) {
    const Json next = changed(state, choices);
    if (!seen.insert(plain(next)).second) continue;
    events.push_back(event_of(event_id(choices, events.size()), "subscription.updated", next));
    events.back().previous_attributes = difference(state, next);
    require(plain(object_before(events.back())) == plain(state));
    state = next;
  }
  if (events.empty()) return;
  check_rank_order(events);
  const LastOfSecond last = check_order_and_duplicates(events, choices);
  require(last.certain && plain(last.event->object) == plain(state));
  if (events.size() < 2) return;
  std::vector<const Event*> rest = pointers(events);
  rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(choices.below(rest.size() - 1)));
  const LastOfSecond without = last_of_second(rest);
  if (without.certain) require(plain(without.event->object) == plain(state));
}

// Steps between a handful of states: chains, forks, circles and gaps.
void check_steps(Choices& choices) {
  std::vector<Event> events;
  for (std::size_t left = 1 + choices.below(6); left > 0; --left) {
    const Json from = {{"quantity", choices.below(5)}};
    const Json to = {{"quantity", choices.below(5)}};
    const std::string id = event_id(choices, events.size());
    const bool created = choices.below(8) == 7;
    events.push_back(event_of(id, created ? "subscription.created" : "subscription.updated", to));
    if (!created) events.back().previous_attributes = difference(from, to);
  }
  check_order_and_duplicates(events, choices);
}

void check_any_events(Choices& choices) {
  std::vector<Event> events;
  const std::string object_type = choices.one_of(kTypes);
  for (std::size_t left = 1 + choices.below(6); left > 0; --left) {
    static constexpr std::array kEndings = {"x.updated", "x.created", "x.deleted", "updated"};
    // One after the other: the order in which arguments are evaluated is the compiler's.
    const std::string id = event_id(choices, events.size());
    const std::string type = choices.one_of(kEndings);
    Event event = event_of(id, type, choices.json(kKeys, kTexts, 3));
    event.object_type = object_type;
    event.created += static_cast<Seconds>(choices.below(2));
    if (choices.below(8) == 7) event.api_version = "2020-08-27";
    // Sometimes another event's snapshot was before: links, forks and circles.
    if (!events.empty() && choices.flip())
      event.previous_attributes = difference(events[choices.below(events.size())].object, event.object);
    else
      event.previous_attributes = choices.json(kKeys, kTexts, 2);
    check_object_before(event);
    events.push_back(std::move(event));
  }
  check_rank_order(events);
  check_order_and_duplicates(events, choices);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  Choices choices(data, size);
  switch (choices.below(3)) {
    case 0:
      check_any_events(choices);
      break;
    case 1:
      check_true_history(choices);
      break;
    default:
      check_steps(choices);
  }
  return 0;
}
