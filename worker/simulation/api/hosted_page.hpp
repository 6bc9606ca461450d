// The pages on which payers act: checkout and the customer portal.
#pragma once

#include <optional>

#include "worker/simulation/api/call.hpp"
#include "worker/simulation/api/shop.hpp"

namespace billing::simulation {

// /c/pay/cs_... and /p/session/bps_...; nothing for any other path.
std::optional<ApiAnswer> answer_page(Shop& shop, const ApiRequest& request);

}  // namespace billing::simulation
