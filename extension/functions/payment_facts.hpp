// What the mirror knows of the money that was paid for invoices and checkout sessions.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/credit_plan.hpp"

namespace billing {

// An invoice or a checkout session.
struct PaymentSubject {
  std::string id;
  std::string account;
  bool livemode;
  const Json* object;
};

struct PaymentFacts {
  std::vector<credits::ChargeFacts> charges;
  std::vector<Json> credit_notes;
};
// By id; those of which nothing is known are there with nothing.
std::map<std::string, PaymentFacts> read_payment_facts(const std::vector<PaymentSubject>& subjects);

}  // namespace billing
