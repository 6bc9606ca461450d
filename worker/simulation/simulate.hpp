// `pg_billing simulate`: whole account histories in Stripe's shapes, for tests, the demo, and whoever has no
// Stripe account.
#pragma once

#include <string>
#include <vector>

namespace billing::simulation {

// Returns the exit code. Throws worker::ConfigError, and std::runtime_error for what cannot be written.
int run_simulate(const std::vector<std::string>& arguments);

}  // namespace billing::simulation
