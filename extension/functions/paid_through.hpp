// Until when each subscription is paid for.
#pragma once

#include <vector>

#include "core/subscription.hpp"

namespace billing {

// Sets `paid_through` from the invoices in the mirror, and from what became of their payments.
void read_paid_through(std::vector<Subscription>& subscriptions);

}  // namespace billing
