// What the simulated account's API says to a request.
#pragma once

#include "worker/simulation/api/call.hpp"
#include "worker/simulation/api/shop.hpp"

namespace billing::simulation {

// Nothing goes wrong here but what the request itself is to blame for.
ApiAnswer answer_api(Shop& shop, const ApiRequest& request);

}  // namespace billing::simulation
