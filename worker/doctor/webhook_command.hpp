// `pg_billing webhook register | enable | disable | rotate`: the worker's own endpoint at Stripe, and no
// other.
#pragma once

#include <string>
#include <vector>

namespace billing::doctor {

// Returns the exit code. Throws worker::ConfigError for what cannot be done.
int run_webhook(std::vector<std::string> arguments);

}  // namespace billing::doctor
