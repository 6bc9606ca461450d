#include "core/fetch.hpp"

#include <algorithm>

namespace billing {

namespace {

struct Telling {
  std::string_view type;    // an object's "object"
  std::string_view status;  // "" = any other
  std::string_view event;
};
// https://docs.stripe.com/api/events/types
constexpr Telling kTellings[] = {
    {"charge", "", "charge.updated"},
    {"checkout.session", "complete", "checkout.session.completed"},
    {"checkout.session", "expired", "checkout.session.expired"},
    {"dispute", "", "charge.dispute.updated"},
    {"invoice", "paid", "invoice.paid"},
    {"invoice", "uncollectible", "invoice.marked_uncollectible"},
    {"invoice", "void", "invoice.voided"},
    {"invoice_payment", "paid", "invoice_payment.paid"},
    {"payment_intent", "canceled", "payment_intent.canceled"},
    {"payment_intent", "succeeded", "payment_intent.succeeded"},
    {"subscription", "canceled", "customer.subscription.deleted"},
    {"subscription", "", "customer.subscription.updated"},
};

}  // namespace

bool is_fetch(const Event& event) { return event.id.starts_with(kFetchPrefix); }

std::string event_type_of(const Json& object) {
  const std::string type = text_of(object, "object").value_or("");
  const std::string status = text_of(object, "status").value_or("");
  if (flag_of(object, "deleted")) return type + ".deleted";
  for (const Telling& telling : kTellings)
    if (telling.type == type && (telling.status.empty() || telling.status == status))
      return std::string(telling.event);
  return type + ".updated";
}

std::string fetch_payload(const Fetch& fetch) {
  Json event = {{"id", fetch.id},
                {"object", "event"},
                {"type", event_type_of(fetch.object)},
                {"api_version", fetch.api_version},
                {"created", fetch.began},
                {"livemode", fetch.livemode},
                {"data", {{"object", fetch.object}}}};
  if (!fetch.account.empty()) event["account"] = fetch.account;
  if (fetch.import)
    event["import"] = {{"began", fetch.import->began},
                       {"grants", fetch.import->current_period ? "current-period" : "none"}};
  return to_text(event);
}

bool has_truncated_list(const Json& object) {
  return std::any_of(std::begin(kEmbeddedLists), std::end(kEmbeddedLists),
                     [&](const char* name) { return flag_of(at(object, name), "has_more"); });
}

}  // namespace billing
