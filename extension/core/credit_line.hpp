// What the rules of granting read in an invoice, whatever the API version.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/credit_plan.hpp"

namespace billing::credits {

// Of sums and products of amounts: nothing from outside can make it overflow, since each factor fits 63 bits.
__extension__ typedef __int128 Wide;
Amount to_amount(Wide value);  // 0 to kMostGranted
inline constexpr Amount kMostGranted = 1'000'000'000'000'000;

// Digits only.
std::optional<Amount> whole_number(const std::string& text);

// A line of a subscription: a period of it, or a proration.
struct InvoiceLine {
  std::string key;  // il_..., or what identifies it on its invoice
  std::string price_id;
  std::string subscription;
  std::string item;  // si_..., "" when the version doesn't tell
  std::string description;
  std::int64_t quantity = 1;
  std::optional<Amount> amount;
  Seconds start = 0;
  Seconds end = 0;  // later than start
  bool proration = false;
  bool credits_earlier = false;  // names what it is the credit for
  bool discounted = false;       // it, or the whole invoice
};

// An invoice that may grant.
struct SubscriptionInvoice {
  enum class Reason { create, cycle, update };
  std::string id;
  Seconds created = 0;
  Reason reason = Reason::cycle;
  bool paid = false;  // else only finalized
  std::vector<InvoiceLine> lines;

  bool counts_for(const Price& price) const { return paid || price.rule.on_finalized; }
};

// The invoice when it may grant, nothing otherwise.
std::optional<SubscriptionInvoice> read_invoice(const Json& invoice);

// The place that a subscription item's lots follow each other in.
std::string series_of(const std::string& subscription, const std::string& item);

}  // namespace billing::credits
