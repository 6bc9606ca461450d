#include "worker/sync/options.hpp"

#include <charconv>

#include "worker/config.hpp"
#include "worker/text.hpp"

namespace billing::sync {

std::string value_of(const std::vector<std::string>& arguments, std::size_t& at) {
  const std::string& argument = arguments[at];
  const std::size_t equals = argument.find('=');
  if (equals != std::string::npos) return argument.substr(equals + 1);
  if (at + 1 == arguments.size()) throw worker::ConfigError(argument + " needs a value", argument + " VALUE");
  return arguments[++at];
}

Options parse_options(const std::vector<std::string>& arguments) {
  constexpr int kMostParallel = 32;
  Options options;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string flag = arguments[i].substr(0, arguments[i].find('='));
    if (flag == "--help" || flag == "-h") {
      options.help = true;
    } else if (flag == "--restart") {
      options.restart = true;
    } else if (flag == "--json") {
      options.json = true;
    } else if (flag == "--grants") {
      options.grants = value_of(arguments, i);
      if (options.grants != "none" && options.grants != "current-period")
        throw worker::ConfigError(
            "--grants is " + worker::json_string(options.grants) + ", not none or current-period",
            "none: what was paid before grants nothing; current-period: invoices of the period that is "
            "running do");
    } else if (flag == "--parallel") {
      const std::string text = value_of(arguments, i);
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), options.parallel);
      if (error != std::errc() || end != text.data() + text.size() || options.parallel < 1 ||
          options.parallel > kMostParallel)
        throw worker::ConfigError("--parallel is " + worker::json_string(text) + ", not from 1 to 32",
                                  "leave it out for 4");
    } else {
      options.settings.push_back(arguments[i]);
    }
  }
  return options;
}

std::string options_help() {
  return R"(pg_billing sync reads everything that the Stripe account has into the database, once, at the start.

Usage:
  pg_billing sync [--grants none | current-period] [--restart] [--parallel N] [--json] [--config FILE]

  --grants   what invoices grant that were paid before: none (the default), or those of the period that is
             running at this moment
  --restart  begin anew, instead of going on with what was interrupted
  --parallel how many lists are read at once, each on a connection of its own (4)
  --json     the report as one line of JSON on standard output

It needs STRIPE_SECRET_KEY and DATABASE_URL, and takes the flags of pg_billing serve for them. It may be ended
at any moment, and goes on where it was. Exit code: 0 everything was read, 1 something was not, 2 misuse.
)";
}

}  // namespace billing::sync
