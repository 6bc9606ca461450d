// Prices and products as the mirror knows them: what they say about credits, and which of them are still
// unknown.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/credit_plan.hpp"
#include "core/plan_catalogue.hpp"
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

// What the invoice or pack of an event waits for, of what is unknown: "" for nothing.
struct Lack {
  std::string price;    // a line of it cannot be judged
  std::string product;  // judged without; it would count if it said something
};
Lack lack_of(const Event& event, const PriceNeeds& needs, const std::set<mirror::Key>& unknown);

// The prices of one Connect account, or of the platform, as far as they are known.
struct AccountCatalogue {
  std::string account;
  bool livemode = false;
  std::shared_ptr<const Plans> plans;  // may be null
  Catalogue prices;
  std::map<std::string, Json> products;  // by price
  // Those that say nothing themselves, and whose product is not known.
  std::set<std::string> unsure;

  bool knows(const std::string& price) const { return prices.count(price) > 0 && unsure.count(price) == 0; }
  // What an invoice itself says about its prices (before basil) counts before what the mirror says.
  void add_embedded(const Json& invoice);
  // With what its plan says.
  Price read(const Json& price, const Json& product) const;
};
std::map<std::string, AccountCatalogue> read_catalogues(const std::set<mirror::Key>& prices,
                                                        const std::shared_ptr<const Plans>& plans);

}  // namespace billing::credits
