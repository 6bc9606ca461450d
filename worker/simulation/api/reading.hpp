// Objects and lists as the books have them, with what is asked to be expanded.
#pragma once

#include <optional>

#include "worker/simulation/api/call.hpp"
#include "worker/simulation/api/shop.hpp"

namespace billing::simulation {

// The answer to a GET of an object or a list of them; nothing when the path is neither.
std::optional<std::string> read_books(Shop& shop, const Call& call);

// Puts objects where the answer has their ids: "latest_invoice.payments", "data.customer".
void expand(Shop& shop, Json& answer, const Json& paths);

}  // namespace billing::simulation
