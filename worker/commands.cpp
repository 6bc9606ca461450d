// The commands of pg_billing, and what --help says of them.
#include "worker/commands.hpp"

#include <algorithm>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <iostream>

#include "worker/catalogue/plans_command.hpp"
#include "worker/config.hpp"
#include "worker/doctor/doctor.hpp"
#include "worker/doctor/webhook_command.hpp"
#include "worker/log.hpp"
#include "worker/reconcile/command.hpp"
#include "worker/server.hpp"
#include "worker/settings.hpp"
#include "worker/sign.hpp"
#include "worker/simulation/simulate.hpp"
#include "worker/supervision.hpp"
#include "worker/sync/command.hpp"

namespace billing::worker {
namespace {

constexpr const char* kUsage =
    R"(pg_billing receives Stripe's webhooks and hands them to the PostgreSQL extension pg_billing.

Usage:
  pg_billing serve [--config FILE] [--FLAG VALUE]...   take webhooks until SIGTERM
  pg_billing sign [--timestamp SECONDS] < BODY         print a Stripe-Signature for BODY, made with the
                                                       first secret in STRIPE_WEBHOOK_SECRET
  pg_billing doctor [--json] [--FLAG VALUE]...         check the whole setup: what is wrong, why, and what
                                                       helps; ends with 0 only when nothing failed
  pg_billing webhook register | enable | disable | rotate [--finish]
                                                       the worker's own endpoint at Stripe
  pg_billing plans plan|apply FILE                     Stripe and the database as a plans file says;
                                                       pg_billing plans --help
  pg_billing sync [--grants none|current-period]       read everything that the Stripe account has, once;
                                                       pg_billing sync --help lists its flags
  pg_billing reconcile [--since 24h] [--dry-run]       compare with Stripe's API, and make good what was lost
  pg_billing simulate [--FLAG VALUE]...                whole account histories in Stripe's shapes;
                                                       pg_billing simulate --help lists its flags
  pg_billing --help | --version

Signals: SIGTERM drains and ends, a second one ends at once; SIGHUP reads the settings again.

Settings: a flag wins over the environment, which wins over the file of --config (or PG_BILLING_CONFIG) with
its NAME=VALUE lines. "Reloads" means that SIGHUP is enough. A file with secrets must be readable by its owner
alone. Sizes may end in kB, MB or GB, times in ms, s or min.

)";

void watch_signals(boost::asio::signal_set& signals, Server& server) {
  signals.async_wait([&](const boost::system::error_code& error, int signal) {
    if (error) return;
    if (signal == SIGHUP)
      server.reload();
    else
      server.drain();
    watch_signals(signals, server);
  });
}

int run_serve(const std::vector<std::string>& arguments) {
  if (supervised() && !bind_to_supervisor()) return 0;
  const Sources sources = parse_arguments(arguments);
  Config config = load_config(sources);
  log::set_level(config.log_level);
  for (const std::string& warning : config.warnings)
    log::Line(log::Level::warning, "setting").add("error", warning);

  Server server(std::move(config), sources);
  boost::asio::signal_set signals(server.io(), SIGTERM, SIGINT, SIGHUP);
  watch_signals(signals, server);
  // A predecessor under the same supervisor may still hold the port for a moment.
  if (supervised()) watch_supervisor(server.io(), [&server] { server.stop(0); });
  return server.run(std::chrono::seconds(supervised() ? 30 : 0));
}

int run_help(const std::vector<std::string>&) {
  std::cout << kUsage << settings_help();
  return 0;
}

int run_version(const std::vector<std::string>&) {
  std::cout << "pg_billing " PG_BILLING_VERSION "\n";
  return 0;
}

using Arguments = std::vector<std::string>;
struct Command {
  std::string_view name;
  int (*run)(const Arguments& arguments);
  bool own_help;  // it has flags of its own, and tells of them
};
constexpr Command kCommands[] = {
    {"doctor", [](const Arguments& rest) { return billing::doctor::run_doctor(rest); }, false},
    {"plans", [](const Arguments& rest) { return billing::catalogue::run_plans(rest); }, true},
    {"reconcile", [](const Arguments& rest) { return billing::reconcile::run_reconcile(rest); }, true},
    {"serve", run_serve, false},
    {"sign", [](const Arguments& rest) { return run_sign(rest); }, false},
    {"simulate", [](const Arguments& rest) { return billing::simulation::run_simulate(rest); }, true},
    {"sync", [](const Arguments& rest) { return billing::sync::run_sync(rest); }, true},
    {"webhook", [](const Arguments& rest) { return billing::doctor::run_webhook(rest); }, false},
    {"--help", run_help, false},
    {"--version", run_version, false},
};

}  // namespace

int run_command(const std::vector<std::string>& arguments) {
  if (arguments.empty()) {
    std::cerr << kUsage;
    return 2;
  }
  const std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  const bool asks = std::any_of(arguments.begin(), arguments.end(), [](const std::string& argument) {
    return argument == "--help" || argument == "-h" || argument == "help";
  });
  std::vector<std::string_view> names;
  for (const Command& command : kCommands) {
    names.push_back(command.name);
    if (command.name == arguments.front() && (!asks || command.own_help)) return command.run(rest);
  }
  if (asks) return run_help(rest);
  const std::string_view close = nearest(arguments.front(), names);
  throw ConfigError(
      "unknown command \"" + arguments.front() + "\"",
      close.empty() ? "pg_billing --help lists the commands" : "did you mean " + std::string(close) + "?");
}

}  // namespace billing::worker
