// pg_billing reconcile: compares the database with Stripe's API, and makes good what was lost.
#pragma once

#include <string>
#include <vector>

namespace billing::reconcile {

// Returns the exit code; throws worker::ConfigError.
int run_reconcile(const std::vector<std::string>& arguments);

}  // namespace billing::reconcile
