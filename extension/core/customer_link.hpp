// Which user a Stripe customer belongs to, as far as an event tells.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/event.hpp"

namespace billing {

inline constexpr std::size_t kMaxUserIdBytes = 255;

struct LinkEvidence {
  std::string user_id;
  // client_reference_id, subscription_metadata, invoice_metadata, customer_metadata, payment_metadata
  std::string source;
  int priority = 0;  // lower is stronger, in the order above
};

// checkout.session.client_reference_id, subscription metadata `user_id`, the invoice's copy of it, customer
// metadata `user_id`; of a guest's payment the metadata `user_id` of its checkout session, payment intent or
// charge. Empty or over-long values are no evidence, nor is a guest's checkout that was not completed.
std::optional<LinkEvidence> link_evidence(const Event& event);
// The same for a snapshot of the mirror.
std::optional<LinkEvidence> link_evidence(const std::string& object_type, const Json& object);

// The strength of a kind of evidence, as in LinkEvidence::priority; -1 for a person's decision.
int link_priority(std::string_view source);

// Whether the event has effects on a user, so that it must wait until its customer is linked to one.
bool needs_user(const Event& event);

}  // namespace billing
