#include "core/customer_link.hpp"

#include <algorithm>
#include <array>

#include "core/fields.hpp"
#include "core/payer.hpp"

namespace billing {
namespace {

std::optional<LinkEvidence> evidence(const Json& holder, const char* key, const char* source, int priority) {
  std::optional<std::string> user_id = text_of(holder, key);
  if (!user_id || user_id->empty() || user_id->size() > kMaxUserIdBytes) return std::nullopt;
  return LinkEvidence{std::move(*user_id), source, priority};
}

std::optional<LinkEvidence> payment_evidence(const Json& payment) {
  return evidence(at(payment, "metadata"), "user_id", "payment_metadata", 4);
}

// The events of these that move a user's state; the rest (drafts, upcoming ones, reminders) only describe.
constexpr std::array<std::string_view, 6> kInvoiceEffects = {
    "invoice.paid",
    "invoice.payment_succeeded",
    "invoice.payment_failed",
    "invoice.payment_action_required",
    "invoice.marked_uncollectible",
    "invoice.voided",
};

}  // namespace

std::optional<LinkEvidence> link_evidence(const std::string& object_type, const Json& object) {
  if (object_type == "checkout.session") {
    const bool of_guest = is_guest(payer_of(object_type, object));
    if (of_guest && text_of(object, "status").value_or("complete") != "complete") return std::nullopt;
    if (auto named = evidence(object, "client_reference_id", "client_reference_id", 0)) return named;
    return of_guest ? payment_evidence(object) : std::nullopt;
  }
  if (object_type == "subscription") {
    return evidence(at(object, "metadata"), "user_id", "subscription_metadata", 1);
  }
  if (object_type == "invoice") {
    return evidence(fields::invoice_subscription_metadata(object), "user_id", "invoice_metadata", 2);
  }
  if (object_type == "customer") return evidence(at(object, "metadata"), "user_id", "customer_metadata", 3);
  const bool pays = object_type == "payment_intent" || object_type == "charge";
  if (pays && is_guest(payer_of(object_type, object))) return payment_evidence(object);
  return std::nullopt;
}

std::optional<LinkEvidence> link_evidence(const Event& event) {
  if (event.customer_id.empty()) return std::nullopt;
  return link_evidence(event.object_type, event.object);
}

int link_priority(std::string_view source) {
  constexpr std::array<std::string_view, 5> kSources = {"client_reference_id", "subscription_metadata",
                                                        "invoice_metadata", "customer_metadata",
                                                        "payment_metadata"};
  const auto found = std::find(kSources.begin(), kSources.end(), source);
  return found == kSources.end() ? -1 : static_cast<int>(found - kSources.begin());
}

bool needs_user(const Event& event) {
  if (event.customer_id.empty() || !event.object.is_object()) return false;
  const std::string_view type = event.type;
  return type.starts_with("customer.subscription.") || type.starts_with("subscription_schedule.") ||
         type == "checkout.session.completed" || type.starts_with("checkout.session.async_payment_") ||
         std::find(kInvoiceEffects.begin(), kInvoiceEffects.end(), type) != kInvoiceEffects.end();
}

}  // namespace billing
