// What was fetched from Stripe's API, as an event of our own: it takes its place among Stripe's by the second
// in which the fetch began. It beats what happened before, loses to what happens later, and leaves open what
// happened within that second.
#pragma once

#include <string>

#include "core/event.hpp"

namespace billing {

bool is_fetch(const Event& event);

// The event by which Stripe tells that an object is as it is now: customer.subscription.deleted of one that
// is canceled, invoice.paid, checkout.session.completed. So a fetch has the effects of the webhook that was
// missed, each of which has its own natural key.
std::string event_type_of(const Json& object);

struct Fetch {
  std::string id;     // fetch_0000000000000000001: greater for a later fetch
  Seconds began = 0;  // by Stripe's clock, rather too early than too late
  std::string api_version;
  std::string account;  // "" for the key's own
  bool livemode = false;
  Json object;  // with "deleted": true when it is gone
  std::optional<ImportTerms> import = std::nullopt;
};
// The event's payload, for process_stripe_events().
std::string fetch_payload(const Fetch& fetch);

// Whether one of the lists that the rules read is not all there: a subscription's items, an invoice's lines,
// a charge's refunds, a summary's entitlements.
bool has_truncated_list(const Json& object);
// The names of those lists.
inline constexpr const char* kEmbeddedLists[] = {"entitlements", "items", "lines", "refunds"};

}  // namespace billing
