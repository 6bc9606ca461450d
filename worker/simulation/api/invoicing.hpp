// Invoices of the served account: made, finalised, paid or declined.
#pragma once

#include <string>
#include <vector>

#include "worker/simulation/api/shop.hpp"

namespace billing::simulation {

struct LineDraft {
  Json price;
  std::int64_t quantity = 1;
  std::int64_t amount = 0;
  Period period;
  std::string item;  // si_...
  std::string description;
  bool proration = false;
};

// As it would be, not kept: without an id.
Json preview_invoice(Shop& shop, const Json& subscription, const std::vector<LineDraft>& lines);
// A draft under this id, told and kept. What waits for the subscription's next invoice is on it too.
Json make_invoice(Shop& shop, const Json& subscription, const char* reason, std::vector<LineDraft> lines,
                  const std::string& id);
// Draft to open; nothing happens to others.
void finalize_invoice(Shop& shop, Json& invoice);
// One attempt. What it comes to is told; the subscription follows. False: the card was declined.
bool pay_invoice(Shop& shop, Json& invoice);
void void_invoice(Shop& shop, Json& invoice);

// Money without an invoice: the payment intent, succeeded or declined.
Json pay_once(Shop& shop, const std::string& customer, std::int64_t amount, const std::string& currency,
              const Json& metadata, bool declined);

// With the currency wherever one is named.
void set_currency(Json& object, const std::string& currency);
bool card_declines(const Shop& shop, const std::string& customer);

}  // namespace billing::simulation
