// A Stripe event, as far as every rule needs it.
// https://docs.stripe.com/api/events/object and https://docs.stripe.com/webhooks
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/json.hpp"

namespace billing {

// Ids and types become keys of tables, whose index entries are limited. Stripe promises 255 for ids.
inline constexpr std::size_t kMaxIdBytes = 255;
inline constexpr std::string_view kThinEvent = "v2.core.event";

// Ids of fetches begin with this, those of Stripe's events with evt_.
inline constexpr std::string_view kFetchPrefix = "fetch_";

// Of what an initial import brings: it is history, of which nobody is told.
struct ImportTerms {
  Seconds began = 0;            // when the import began: what was paid before grants no credits
  bool current_period = false;  // but those of the period that it began in
};

struct Event {
  std::string id;           // evt_...
  std::string type;         // customer.subscription.updated
  Seconds created = 0;      // whole seconds; a thin event's ISO time is cut to seconds
  std::string api_version;  // "" when null
  bool livemode = false;
  std::string account;       // Connect account; "" for the platform's own events
  Json object;               // data.object; null for a thin event
  Json previous_attributes;  // data.previous_attributes; null unless present
  std::string object_type;   // data.object.object; related_object.type of a thin event; "" when unknown
  std::string object_id;     // key of the mirror; "" when the object has none (invoice.upcoming, balance)
  std::string customer_id;   // the customer that the object belongs to, or is, or was detached from, or a
                             // guest's payment (core/payer.hpp); "" when none
  std::optional<ImportTerms> import;  // none unless an import brought it
  bool thin = false;                  // object = "v2.core.event": names an object without carrying it
};

// The payload is JSON, but not an event that can be identified; or not JSON at all.
class EventError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws EventError with a message for people: what is wrong, and with which value.
// `id` and `type` must be 1 to 255 bytes, the ids of the object, its customer and its parent at most 255;
// `created` must be a time before the year 10000.
// Active-entitlement summaries have no id of their own: their customer's id is their key.
Event parse_event(std::string_view payload);

// The mirror's key of an object: its id, save for active-entitlement summaries, of which each customer has
// one.
std::string mirror_key(std::string_view object_type, std::string id, std::string_view customer_id);

// The id under which a payload without a usable id is stored: "unidentified_" + hex SHA-256 of its bytes,
// so that the same payload sent again is a duplicate.
std::string derived_event_id(std::string_view payload);

// What a log line or a router needs without a whole parse: the members are "" where absent. A guest's
// payment has no customer here, nor has a payment method that was detached.
// Never throws: a payload that is not JSON yields empty members.
struct EventHeader {
  std::string id;
  std::string type;
  std::string object_id;
  std::string customer_id;
};
EventHeader peek_event(std::string_view payload);

// True for "...deleted" events, whose object is gone for good.
bool is_deletion(std::string_view event_type);

// Whether a subscription's event tells that a trial begins: it is created with one, or an update adds one.
bool begins_trial(const Event& event);

}  // namespace billing
