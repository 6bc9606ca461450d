#include "worker/reconcile/command.hpp"

#include <boost/asio/co_spawn.hpp>
#include <charconv>
#include <iostream>
#include <map>

#include "worker/calls.hpp"
#include "worker/reconcile/reconciliation.hpp"
#include "worker/stripe_access.hpp"
#include "worker/sync/options.hpp"
#include "worker/text.hpp"

namespace billing::reconcile {

namespace {

constexpr const char* kHelp =
    R"(pg_billing reconcile compares the database with Stripe's API: events that never came, then objects. What is
missing takes effect as the webhook that should have told of it.

Usage:
  pg_billing reconcile [--since 24h] [--dry-run | --after-restore] [--json] [--config FILE]

  --since    how far back: a number with m, h or d; Stripe lists the events of 30 days
  --dry-run  only report
  --after-restore  before all else hold the requests to Stripe that a restored backup brought back, for a
             person: nobody knows which of them were performed since. Run it before pg_billing serve
  --json     the report as one line of JSON on standard output

It needs STRIPE_SECRET_KEY and DATABASE_URL, and takes the flags of pg_billing serve for them. Exit code: 0 nothing
was missing or it was made good, 1 something could not be read, 2 misuse, 3 a dry run found differences.
)";
constexpr int kFound = 3;

Seconds span_of(const std::string& text) {
  static const std::map<std::string, Seconds> units = {{"m", 60}, {"min", 60}, {"h", 3600}, {"d", 86400}};
  Seconds number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const auto unit = units.find(std::string(end, text.data() + text.size()));
  constexpr Seconds kMost = 30 * 86400;
  if (error != std::errc() || unit == units.end() || number < 1 || number > kMost / unit->second)
    throw worker::ConfigError("--since is " + worker::json_string(text) + ", not a time from 1m to 30d",
                              "write 24h; what is older than Stripe's list of events is for pg_billing sync");
  return number * unit->second;
}

void print(const Json& report) {
  const auto number = [&](const char* part, const char* name) {
    return std::to_string(integer_of(at(report, part), name).value_or(0));
  };
  if (at(report, "held").is_number())
    std::cout << "requests held: " << integer_of(report, "held").value_or(0)
              << "; SELECT * FROM stripe_requests WHERE status = 'held'\n";
  std::cout << "events: " << number("events", "matched") << " matched, " << number("events", "missing")
            << " missing\nobjects: " << number("objects", "matched") << " matched, "
            << number("objects", "updated") << " updated, " << number("objects", "missing") << " missing\n";
  for (const Json& one : list_of(report, "differences")) {
    const auto text = [&](const char* name) { return text_of(one, name).value_or(""); };
    std::cout << text("difference") << " " << text("object_id") << " " << text("event_type");
    if (!text("stripe_event_id").empty()) std::cout << " " << text("stripe_event_id");
    if (at(one, "was").is_object())
      std::cout << ": " << at(one, "was").dump() << " -> " << at(one, "now").dump();
    std::cout << (flag_of(one, "repaired") ? "" : " (not repaired)") << "\n";
  }
  if (const auto error = text_of(report, "error")) std::cout << "not all could be read: " << *error << "\n";
}

}  // namespace

int run_reconcile(const std::vector<std::string>& arguments) {
  Request request;
  bool json = false;
  std::vector<std::string> settings;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string flag = arguments[i].substr(0, arguments[i].find('='));
    if (flag == "--help" || flag == "-h") {
      std::cout << kHelp;
      return 0;
    }
    if (flag == "--json")
      json = true;
    else if (flag == "--dry-run")
      request.dry_run = true;
    else if (flag == "--after-restore")
      request.after_restore = true;
    else if (flag == "--since")
      request.span = span_of(sync::value_of(arguments, i));
    else
      settings.push_back(arguments[i]);
  }
  if (request.dry_run && request.after_restore)
    throw worker::ConfigError("--after-restore holds requests, a dry run changes nothing",
                              "leave out one of them");
  const worker::Config config = worker::load_config(worker::parse_arguments(settings), false);
  if (config.secret_key.empty())
    throw worker::ConfigError("STRIPE_SECRET_KEY is not set",
                              "set it to a secret or restricted key (sk_..., rk_...) that may read");
  boost::asio::io_context io{1};
  const auto client = worker::make_client(io, config);
  Reconciliation reconciliation(io, config, *client);
  Json report;
  std::exception_ptr failure;
  boost::asio::co_spawn(io, reconciliation.run(request), [&](const std::exception_ptr& thrown, Json answer) {
    failure = thrown;
    report = std::move(answer);
    io.stop();
  });
  io.run();
  if (failure) worker::end_by(failure);
  if (text_of(report, "status") == "wrong_mode")
    throw worker::ConfigError(text_of(report, "reason").value_or(""),
                              text_of(report, "next_step").value_or(""));
  if (json)
    std::cout << report.dump() << std::endl;
  else
    print(report);
  if (!flag_of(report, "success")) return 1;
  return request.dry_run && !list_of(report, "differences").empty() ? kFound : 0;
}

}  // namespace billing::reconcile
