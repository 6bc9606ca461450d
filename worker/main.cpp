// pg_billing: receives Stripe's webhooks and hands them to the extension.
#include <csignal>
#include <iostream>

#include "worker/commands.hpp"
#include "worker/config.hpp"

int main(int argc, char** argv) {
  // A client or a log reader that went away is an error to handle, not a reason to die.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return billing::worker::run_command({argv + 1, argv + argc});
  } catch (const billing::worker::ConfigError& error) {
    std::cerr << "pg_billing: " << error.what() << "\nhint: " << error.hint() << "\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "pg_billing: " << error.what() << "\n";
    return 1;
  }
}
