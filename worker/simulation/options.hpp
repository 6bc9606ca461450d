// The flags of `pg_billing simulate`: one sorted table that drives parsing and --help.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "worker/simulation/api_server.hpp"
#include "worker/simulation/delivery.hpp"
#include "worker/simulation/poster.hpp"
#include "worker/simulation/scenario.hpp"

namespace billing::simulation {

struct Options {
  Scenario scenario;
  DeliveryOptions delivery;
  PostOptions post;  // no URL: nothing is posted
  ServeOptions serve;
  std::string out;  // a directory, "-" for the events on standard output, "" for neither
  std::string secret_variable = "STRIPE_WEBHOOK_SECRET";
  std::optional<Seconds> as_of;  // of the truth; else the end of the history
  std::optional<Seconds> end;    // in place of a start
  bool help = false;
};

// Reads the arguments behind the subcommand. Throws worker::ConfigError.
Options parse_options(const std::vector<std::string>& arguments);
std::string options_help();

}  // namespace billing::simulation
