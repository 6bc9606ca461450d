// `pg_billing plans plan` and `plans apply`: brings Stripe and the database to what a plans file says.
#pragma once

#include <string>
#include <vector>

namespace billing::catalogue {

// The exit code: 0, and of `plan` 3 when there is something to change.
int run_plans(std::vector<std::string> arguments);

}  // namespace billing::catalogue
