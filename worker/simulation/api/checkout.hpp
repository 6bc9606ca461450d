// What a payer does on the hosted pages.
#pragma once

#include <string>

#include "worker/simulation/api/shop.hpp"

namespace billing::simulation {

struct CheckoutResult {
  bool paid = false;
  std::string message;  // why not
};
// Pays an open session, or tries to with a card that is declined.
CheckoutResult pay_checkout(Shop& shop, const std::string& session_id, const std::string& email,
                            bool declined);

}  // namespace billing::simulation
