// Until when each subscription is paid for.
#pragma once

#include <map>
#include <set>
#include <string>

#include "functions/mirror.hpp"

namespace billing {

// The end of the latest period that is paid and did not all go back, by subscription, from the invoices in
// the mirror and from what became of their payments. Those without any are absent.
std::map<std::string, Seconds> paid_through(const std::set<std::string>& subscriptions,
                                            const mirror::Snapshots& brought);

}  // namespace billing
