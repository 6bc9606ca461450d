// What tells who somebody is, taken out of Stripe's objects.
#pragma once

#include <set>
#include <string>

#include "core/json.hpp"

namespace billing {

struct Redaction {
  // Keys of metadata that stay besides those that our rules read: what billing.scope asks for.
  std::set<std::string> kept;
  // Whose it is. What names a user (metadata user_id, client_reference_id) names this one afterwards; ""
  // leaves the names as they are.
  std::string user_id;
  // Where not empty: the ids that mean the user. Any other name goes: it was somebody else's.
  std::set<std::string> names;
  // Ids that may stay as they are: it is known that they mean the user.
  std::set<std::string> aliases;
};

// Sets to null what holds personal data, wherever it is in an event, an object or a part of one: names,
// addresses, what identifies a card or a device, free text, links, secrets, and what applications wrote into
// metadata, save what our rules read. Ids of Stripe's, amounts, times and states stay, and so does the
// catalogue (products, prices, coupons ...), which is about nobody. Redacted again it stays as it is.
void redact(Json& value, const Redaction& redaction = {});

// The same for the members of a metadata object itself.
void redact_metadata(Json& metadata, const Redaction& redaction = {});

}  // namespace billing
