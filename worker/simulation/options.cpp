#include "worker/simulation/options.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <string_view>

#include "worker/config.hpp"
#include "worker/settings.hpp"
#include "worker/simulation/calendar.hpp"
#include "worker/text.hpp"

namespace billing::simulation {
namespace {

using worker::ConfigError;
using worker::json_string;

struct Flag {
  std::string_view name;
  std::string_view value;  // "" for a switch
  std::string_view fallback;
  std::string_view meaning;
  // Returns what is wrong with the text, or "".
  std::string (*apply)(Options& options, const std::string& text);
};

template <typename Number>
std::string read(const std::string& text, Number low, Number high, Number& result) {
  Number number{};
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc() && rest == end && number >= low && number <= high) {
    result = number;
    return "";
  }
  std::string range = std::to_string(low) + " to " + std::to_string(high);
  if constexpr (std::is_floating_point_v<Number>) range = "0 to 1";
  return "is " + json_string(text) + ", not a number from " + range;
}

std::string share(const std::string& text, double& result) { return read(text, 0.0, 1.0, result); }

std::string read_time(const std::string& text, Seconds& result) {
  Seconds number = 0;
  if (text == "now") {
    result =
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
            .count();
    return "";
  }
  if (read<Seconds>(text, 1, 253'000'000'000, number).empty()) {
    result = number;
    return "";
  }
  // A date alone is its midnight in UTC.
  const std::optional<Seconds> time = parse_iso_time(text.size() == 10 ? text + "T00:00:00Z" : text);
  if (!time)
    return "is " + json_string(text) + ", not a time such as 2026-01-31, 2026-01-31T10:00:00Z or now";
  result = *time;
  return "";
}

std::string read_time(const std::string& text, std::optional<Seconds>& result) {
  Seconds time = 0;
  std::string problem = read_time(text, time);
  if (problem.empty()) result = time;
  return problem;
}

std::string read_order(Options& options, const std::string& text) {
  constexpr std::string_view kNames[] = {"stripe", "shuffled", "reversed"};
  for (std::size_t i = 0; i < std::size(kNames); ++i) {
    if (text != kNames[i]) continue;
    options.delivery.order = static_cast<Order>(i);
    return "";
  }
  return "is " + json_string(text) + ", not stripe, shuffled or reversed";
}

std::string read_rate(Options& options, const std::string& text) {
  const std::string number = text.ends_with("/s") ? text.substr(0, text.size() - 2) : text;
  std::uint64_t rate = 0;
  if (!read<std::uint64_t>(number, 1, 1'000'000, rate).empty())
    return "is " + json_string(text) + ", not a number of events a second such as 500/s";
  options.post.rate = static_cast<double>(rate);
  return "";
}

// Sorted by name.
constexpr Flag kFlags[] = {
    {"--allow-remote", "", "", "post to other machines too, not only to this one",
     [](Options& o, const std::string&) { return std::string((o.post.allow_remote = true, "")); }},
    {"--api-faults", "RATE", "0", "share of the API's answers that are 429, 500 or none",
     [](Options& o, const std::string& text) { return share(text, o.serve.faults); }},
    {"--as-of", "TIME", "the end", "the instant for which the truth is told; not before the end",
     [](Options& o, const std::string& text) { return read_time(text, o.as_of); }},
    {"--bursts", "RATE", "0.1", "share of happenings whose events all fall into one second",
     [](Options& o, const std::string& text) { return share(text, o.scenario.bursts); }},
    {"--connections", "N", "8", "connections that post at once",
     [](Options& o, const std::string& text) {
       return read<std::size_t>(text, 1, 1000, o.post.connections);
     }},
    {"--customers", "N", "100", "how many users there are; some have several Stripe customers",
     [](Options& o, const std::string& text) {
       return read<std::uint64_t>(text, 0, 10'000'000, o.scenario.customers);
     }},
    {"--drop", "RATE", "0", "share of events that are not delivered in their turn but at the end",
     [](Options& o, const std::string& text) { return share(text, o.delivery.drop); }},
    {"--duplicates", "RATE", "0", "share of events that are delivered twice",
     [](Options& o, const std::string& text) { return share(text, o.delivery.duplicates); }},
    {"--end", "TIME", "", "the end of the history, in place of its start; now is a time too",
     [](Options& o, const std::string& text) { return read_time(text, o.end); }},
    {"--give-up", "SECONDS", "300", "how long an event that is not acknowledged is sent again",
     [](Options& o, const std::string& text) {
       std::int64_t seconds = 0;
       std::string problem = read<std::int64_t>(text, 0, 86400, seconds);
       if (problem.empty()) o.post.give_up = std::chrono::seconds(seconds);
       return problem;
     }},
    {"--livemode", "", "", "events of live mode, not of test mode",
     [](Options& o, const std::string&) { return std::string((o.scenario.livemode = true, "")); }},
    {"--lose", "", "", "never deliver what --drop holds back; the truth then is not what the events tell",
     [](Options& o, const std::string&) { return std::string((o.delivery.lose = true, "")); }},
    {"--months", "N", "6", "length of the history",
     [](Options& o, const std::string& text) { return read(text, 1, 120, o.scenario.months); }},
    {"--near-duplicates", "RATE", "0", "share of changes that are told again under another event id",
     [](Options& o, const std::string& text) { return share(text, o.delivery.near_duplicates); }},
    {"--noise", "RATE", "0.02",
     "share of happenings beside which an event of an unknown type or of the other mode arrives",
     [](Options& o, const std::string& text) { return share(text, o.scenario.noise); }},
    {"--order", "ORDER", "stripe", "stripe (as they were made), shuffled or reversed", read_order},
    {"--out", "DIR", "",
     "write events.jsonl in the order of delivery, truth.jsonl (a user a line), links.jsonl (what "
     "link_stripe_customer has to be told) and summary.json; - writes the events to standard output",
     [](Options& o, const std::string& text) {
       o.out = text;
       return std::string(text.empty() ? "is empty, not a directory" : "");
     }},
    {"--post", "URL", "", "post the events to a worker: http://127.0.0.1:8480/stripe/webhook",
     [](Options& o, const std::string& text) {
       o.post.url = text;
       return std::string(text.empty() ? "is empty, not a URL" : "");
     }},
    {"--rate", "N/s", "", "events posted a second; as fast as they are taken when left out", read_rate},
    {"--secret-env", "NAME", "STRIPE_WEBHOOK_SECRET", "the variable that holds the secret to sign with",
     [](Options& o, const std::string& text) {
       o.secret_variable = text;
       return std::string(text.empty() ? "is empty, not a name" : "");
     }},
    {"--seed", "N", "1", "the same seed and flags make the same bytes, on every machine",
     [](Options& o, const std::string& text) {
       return read<std::uint64_t>(text, 0, ~std::uint64_t{0}, o.scenario.seed);
     }},
    {"--serve", "ADDRESS:PORT", "",
     "be the account until SIGTERM: answer Stripe's API calls, show checkout and portal pages, send webhooks "
     "to registered endpoints and to the URL of --post: 127.0.0.1:12111",
     [](Options& o, const std::string& text) {
       o.serve.address = text;
       return std::string(text.empty() ? "is empty, not an address and a port" : "");
     }},
    {"--start", "TIME", "2026-01-01", "the start of the history",
     [](Options& o, const std::string& text) { return read_time(text, o.scenario.start); }},
    {"--upgrades", "RATE", "0.1", "share of users whose events change their API version once",
     [](Options& o, const std::string& text) { return share(text, o.scenario.upgrades); }},
    {"--window", "N", "0", "shuffle among so many events only, which bounds the memory; 0 = among all",
     [](Options& o, const std::string& text) {
       return read<std::size_t>(text, 0, 100'000'000, o.delivery.window);
     }},
};

const Flag& find_flag(const std::string& name) {
  std::vector<std::string_view> known = {"--help"};
  for (const Flag& flag : kFlags) {
    if (flag.name == name) return flag;
    known.push_back(flag.name);
  }
  const std::string_view close = worker::nearest(name, known);
  throw ConfigError("unknown argument " + json_string(name),
                    close.empty() ? "pg_billing simulate --help lists the flags"
                                  : "did you mean " + std::string(close) + "?");
}

void check(const Options& options) {
  if (options.out.empty() && options.post.url.empty() && options.serve.address.empty())
    throw ConfigError("there is nowhere to put the events",
                      "add --out DIR, --out -, --post URL or --serve ADDRESS:PORT");
  if (options.out == "-" && !options.post.url.empty())
    throw ConfigError("--out - and --post both want the events", "use --out DIR beside --post");
}

}  // namespace

Options parse_options(const std::vector<std::string>& arguments) {
  Options options;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--help" || argument == "-h") {
      options.help = true;
      return options;
    }
    // A lone - is short for --out -.
    const std::size_t equals = argument.find('=');
    const std::string name = argument == "-" ? "--out" : argument.substr(0, equals);
    const Flag& flag = find_flag(name);
    const bool joined = equals != std::string::npos;
    if (flag.value.empty() && joined) throw ConfigError(name + " takes no value", "write " + name);
    if (!flag.value.empty() && !joined && argument != "-" && i + 1 == arguments.size())
      throw ConfigError(name + " needs a value", name + " " + std::string(flag.value));
    const std::string text = flag.value.empty() ? ""
                             : joined           ? argument.substr(equals + 1)
                             : argument == "-"  ? "-"
                                                : arguments[++i];
    if (const std::string problem = flag.apply(options, text); !problem.empty())
      throw ConfigError(name + " " + problem, "pg_billing simulate --help says what it does");
  }
  if (options.end) options.scenario.start = add_months(*options.end, -options.scenario.months);
  options.scenario.end = options.end.value_or(add_months(options.scenario.start, options.scenario.months));
  options.scenario.snapshots = !options.serve.address.empty();
  options.serve.seed = options.scenario.seed;
  options.serve.livemode = options.scenario.livemode;
  options.serve.give_up = options.post.give_up;
  options.serve.allow_remote = options.post.allow_remote;
  check(options);
  return options;
}

std::string options_help() {
  std::string out =
      "pg_billing simulate makes up the history of a Stripe account, as events and as the truth they "
      "tell.\n\n"
      "Usage:\n"
      "  pg_billing simulate --out DIR [FLAG]...              write events, truth, missing links, summary\n"
      "  pg_billing simulate - [FLAG]...                      write the events to standard output\n"
      "  pg_billing simulate --post URL [--out DIR] [FLAG]... post them signed, as Stripe would\n"
      "  pg_billing simulate --serve ADDRESS:PORT [FLAG]...   be the account: API calls, hosted pages, "
      "webhooks\n\n"
      "A RATE is a share from 0 to 1, a TIME a date, an ISO time, seconds since 1970 or now.\n\n"
      "The plans' prices grant 30, 200 and 500 credits a month by their metadata, yearly ones month by "
      "month, "
      "one by its\nproduct's; one carries over what is left, one has credits for a trial, extra seats have "
      "none. truth.jsonl tells the\ncredits that a user must have been granted, but for upgrades.\n\n";
  for (const Flag& flag : kFlags) {
    out.append("  ").append(flag.name);
    if (!flag.value.empty()) out.append(" ").append(flag.value);
    out.append("\n      ").append(flag.meaning);
    if (!flag.fallback.empty()) out.append(". Default: ").append(flag.fallback);
    out += '\n';
  }
  return out;
}

}  // namespace billing::simulation
