// Prices and products as the mirror knows them: what they say about credits, and which of them are still
// unknown.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/credit_plan.hpp"
#include "functions/mirror.hpp"

namespace billing::credits {

// What a batch has to do with prices.
struct PriceNeeds {
  mirror::Extras extras;          // for mirror::fold
  std::set<mirror::Key> unknown;  // prices and products that grants depend on
  std::map<mirror::Key, mirror::Key>
      products;  // of the prices that say nothing themselves: their unknown product
};
// Without locks: whole prices inside the events' objects, and what the mirror lacks.
PriceNeeds price_needs(const std::vector<Work*>& works);

// What the invoice of an event waits for, of what is unknown: "" for nothing.
struct Lack {
  std::string price;    // a subscription's line cannot be judged
  std::string product;  // judged without; it would count if it said something
};
Lack lack_of(const Event& invoice, const PriceNeeds& needs, const std::set<mirror::Key>& unknown);

// These prices, as far as they are known. Those that say nothing themselves, and whose product is not known,
// are `unsure`.
Catalogue read_catalogue(const std::set<mirror::Key>& prices, std::set<std::string>& unsure);

// Whether a product or price says anything about credits.
bool mentions_credits(const Json& object);

}  // namespace billing::credits
