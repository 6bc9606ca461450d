// A grant as it is planned, made a lot of an account.
#pragma once

#include "core/credit_account.hpp"
#include "core/credit_plan.hpp"
#include "settings.hpp"

namespace billing::credits {

// Slack is for the renewal that is on its way: where the same invoice grants the next interval (`followed`),
// there is none.
Lot lot_of(const PlannedGrant& grant, bool followed, const Settings& settings);

}  // namespace billing::credits
