// What the mirror knows of payments, and whose they are.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/payment.hpp"
#include "functions/payments.hpp"

namespace billing::payments {

struct Known {
  PaymentSources sources;
  std::vector<std::string> payers;  // the surest first; the payment itself is among them
};
// Of payments that nothing is known of there is nothing.
std::map<Id, Known> read(const Touched& touched, bool live);

}  // namespace billing::payments
