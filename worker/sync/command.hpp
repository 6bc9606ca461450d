// pg_billing sync: everything that the account has, read once, at the start.
#pragma once

#include <string>
#include <vector>

namespace billing::sync {

// Returns the exit code; throws worker::ConfigError.
int run_sync(const std::vector<std::string>& arguments);

}  // namespace billing::sync
