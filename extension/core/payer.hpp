// Whose money it is. Where Stripe has no customer (a guest's checkout), the payment intent stands for the
// payer.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/json.hpp"

namespace billing {

// The object's customer; of a payment intent, a charge or a checkout session in payment mode without one, the
// id of its payment intent, else its own. "" when it belongs to nobody.
std::string payer_of(const std::string& object_type, const Json& object);

// Whether the payer is a payment and not a customer.
bool is_guest(std::string_view payer);

// Of two ids for the payer of one payment: a customer before a guest, anybody before "".
const std::string& surer_payer(const std::string& one, const std::string& other);

// The payment intents and charges that an invoice, an invoice payment, a charge or a checkout session in
// payment mode names, and which are its payer's: type and id.
std::vector<std::pair<std::string, std::string>> payments_named_by(const std::string& object_type,
                                                                   const Json& object);

}  // namespace billing
