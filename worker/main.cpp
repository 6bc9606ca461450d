// pg_billing: receives Stripe's webhooks and hands them to the extension.
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <iostream>

#include "worker/config.hpp"
#include "worker/log.hpp"
#include "worker/reconcile/command.hpp"
#include "worker/server.hpp"
#include "worker/settings.hpp"
#include "worker/sign.hpp"
#include "worker/simulation/simulate.hpp"
#include "worker/supervision.hpp"
#include "worker/sync/command.hpp"

namespace {

using namespace billing::worker;

constexpr const char* kUsage =
    R"(pg_billing receives Stripe's webhooks and hands them to the PostgreSQL extension pg_billing.

Usage:
  pg_billing serve [--config FILE] [--FLAG VALUE]...   take webhooks until SIGTERM
  pg_billing sign [--timestamp SECONDS] < BODY         print a Stripe-Signature for BODY, made with the
                                                       first secret in STRIPE_WEBHOOK_SECRET
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

int run(const std::vector<std::string>& arguments) {
  // It has flags of its own, and its own --help.
  if (!arguments.empty() && arguments.front() == "simulate")
    return billing::simulation::run_simulate({arguments.begin() + 1, arguments.end()});
  if (!arguments.empty() && arguments.front() == "sync")
    return billing::sync::run_sync({arguments.begin() + 1, arguments.end()});
  if (!arguments.empty() && arguments.front() == "reconcile")
    return billing::reconcile::run_reconcile({arguments.begin() + 1, arguments.end()});
  for (const std::string& argument : arguments) {
    if (argument != "--help" && argument != "-h" && argument != "help") continue;
    std::cout << kUsage << settings_help();
    return 0;
  }
  if (arguments.empty()) {
    std::cerr << kUsage;
    return 2;
  }
  const std::string& command = arguments.front();
  const std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  if (command == "--version") {
    std::cout << "pg_billing " PG_BILLING_VERSION "\n";
    return 0;
  }
  if (command == "serve") return run_serve(rest);
  if (command == "sign") return run_sign(rest);
  const std::string_view close = nearest(command, {"reconcile", "serve", "sign", "simulate", "sync", "--help", "--version"});
  throw ConfigError("unknown command \"" + command + "\"", close.empty()
                                                               ? "pg_billing --help lists the commands"
                                                               : "did you mean " + std::string(close) + "?");
}

}  // namespace

int main(int argc, char** argv) {
  // A client or a log reader that went away is an error to handle, not a reason to die.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return run({argv + 1, argv + argc});
  } catch (const billing::worker::ConfigError& error) {
    std::cerr << "pg_billing: " << error.what() << "\nhint: " << error.hint() << "\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "pg_billing: " << error.what() << "\n";
    return 1;
  }
}
