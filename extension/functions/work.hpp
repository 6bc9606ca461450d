// One event on its way through a batch.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/event.hpp"
#include "core/subscription_state.hpp"

namespace billing {

enum class Outcome { processed, duplicate, parked, ignored, failed };

inline const char* name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::processed:
      return "processed";
    case Outcome::duplicate:
      return "duplicate";
    case Outcome::parked:
      return "parked";
    case Outcome::ignored:
      return "ignored";
    case Outcome::failed:
      break;
  }
  return "failed";
}

struct Work {
  int ordinal = 0;  // position in the call's array, from 1
  std::string_view payload;
  std::string redacted;  // what `payload` is of, once it was redacted
  std::string endpoint;
  std::string id;
  bool wants_fetch = false;    // it names an object that only the API has
  std::optional<Event> event;  // none when the payload cannot be read
  std::string customer;  // whom it is about: the event's own customer, or its invoice's; "" when unknown

  bool stored = false;       // has its inbox row already: a retry, a replay, or woken by its link
  bool had_effect = false;   // a replay of what was processed already
  bool keep_payload = true;  // false for what is out of scope
  std::int64_t tries = 0;    // retry_count of the stored row
  Instant received = 0;

  std::string unreadable;  // why there is no event

  Outcome outcome = Outcome::processed;
  bool settled = false;  // the outcome is final: no further step applies to it
  bool given_up = false;
  std::string error;
  std::string waiting_for;
  Seconds retry_in = 0;  // parked: when to look again; 0 = after billing.parked_limit

  void settle(Outcome result, std::string message = "") {
    outcome = result;
    error = std::move(message);
    settled = true;
  }
  // As before any step was taken: for another try after one that was undone.
  void reset() {
    outcome = Outcome::processed;
    settled = given_up = false;
    keep_payload = true;
    error.clear();
    waiting_for.clear();
    retry_in = 0;
    if (event) return;
    settle(Outcome::failed, unreadable);
    given_up = true;
  }
  // Waits for a lock that another transaction holds: due again within a second.
  void defer(const std::string& what, const std::string& message) {
    settle(Outcome::parked, message);
    waiting_for = what;
    retry_in = 1;
  }
  // Waits for something that nobody can say when it comes.
  void park(const std::string& what, const std::string& message) {
    settle(Outcome::parked, message);
    waiting_for = what;
    retry_in = 0;
  }
};

}  // namespace billing
