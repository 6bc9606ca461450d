// The commands of pg_billing.
#pragma once

#include <string>
#include <vector>

namespace billing::worker {

// Runs the command that the first argument names. The exit code; throws ConfigError for misuse.
int run_command(const std::vector<std::string>& arguments);

}  // namespace billing::worker
