// `pg_billing sign`: makes the header that Stripe would send with a body, for trying things out without
// Stripe.
#pragma once

#include <string>
#include <vector>

namespace billing::worker {

// Reads the body from standard input, writes the header's value to standard output. Throws ConfigError.
int run_sign(std::vector<std::string> arguments);

}  // namespace billing::worker
