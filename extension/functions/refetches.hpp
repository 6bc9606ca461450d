// What only Stripe's API can settle is asked for; what was fetched settles it.
#pragma once

#include <map>
#include <vector>

#include "functions/mirror.hpp"
#include "functions/work.hpp"

namespace billing::refetches {

// `ambiguous`: objects that these events have left in doubt, and the second that is in question. Their rows
// in the mirror are locked.
void follow(const std::vector<Work*>& works, const std::map<mirror::Key, Seconds>& ambiguous);

}  // namespace billing::refetches
