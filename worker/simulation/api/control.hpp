// How tests steer the served account, by calls that Stripe does not have: its clock, its webhooks, its
// faults, its payers' cards.
#pragma once

#include "worker/simulation/api/faults.hpp"
#include "worker/simulation/api/shop.hpp"

namespace billing::simulation {

inline constexpr std::string_view kControl = "/_simulation";

ApiAnswer answer_control(Shop& shop, Faults& faults, const ApiRequest& request);

}  // namespace billing::simulation
