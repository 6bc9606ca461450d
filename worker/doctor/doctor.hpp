// `pg_billing doctor`: whether everything is set up as it has to be, and what to do where it is not.
#pragma once

#include <string>
#include <vector>

namespace billing::doctor {

// Returns the exit code: 0 only when no check failed.
int run_doctor(std::vector<std::string> arguments);

}  // namespace billing::doctor
