// The objects as Stripe writes them, in the API version of whoever receives the event.
#pragma once

#include <string_view>

#include "core/json.hpp"
#include "worker/simulation/objects.hpp"

namespace billing::simulation {

struct Version {
  std::string_view name;
  bool basil = false;  // 2025-03-31 and later
};
inline constexpr Version kOldVersion{"2020-08-27", false};
inline constexpr Version kClover{"2025-10-29.clover", true};
inline constexpr Version kEndive{"2026-09-30.endive", true};

struct Shape {
  Version version = kClover;
  bool livemode = false;
};

Json to_json(const Product& product, const Shape& shape);
Json to_json(const Price& price, const Shape& shape);
Json to_json(const Customer& customer, const Shape& shape);
Json to_json(const PaymentMethod& method, const Shape& shape);
Json to_json(const CheckoutSession& session, const Shape& shape);
Json to_json(const Subscription& subscription, const Shape& shape);
Json to_json(const Schedule& schedule, const Shape& shape);
Json to_json(const Invoice& invoice, const Shape& shape);
Json to_json(const InvoicePayment& payment, const Shape& shape);
Json to_json(const PaymentIntent& intent, const Shape& shape);
Json to_json(const Charge& charge, const Shape& shape);
Json to_json(const Refund& refund, const Shape& shape);
Json to_json(const Dispute& dispute, const Shape& shape);

// The price as the older Plans API has it, which still stands beside it in items and lines.
Json plan_json(const Price& price, const Shape& shape);

// What an `.updated` event says in previous_attributes: the members that changed as they were, objects member
// by member, everything else whole, null for what was absent.
Json difference(const Json& before, const Json& after);

// For the shapes.

// Parses once what every snapshot of a type has in common; `more` is what one API version adds.
Json common_members(const char* text, const char* more = "{}");
Json list_json(Json elements, const std::string& url);
inline Json or_null(const Time& time) { return time ? Json(*time) : Json(nullptr); }
inline Json or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

}  // namespace billing::simulation
