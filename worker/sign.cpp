// `pg_billing sign`
#include "worker/sign.hpp"

#include <charconv>
#include <chrono>
#include <iostream>
#include <iterator>

#include "core/signature.hpp"
#include "worker/config.hpp"
#include "worker/text.hpp"

namespace billing::worker {
namespace {

std::int64_t parse_timestamp(const std::string& text) {
  std::int64_t value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || *end != '\0' || value < 0)
    throw ConfigError("--timestamp is " + json_string(text) + ", not a number of seconds since 1970",
                      "leave it out for now");
  return value;
}

}  // namespace

int run_sign(std::vector<std::string> arguments) {
  std::int64_t timestamp =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  for (std::size_t i = 0; i < arguments.size();) {
    const bool joined = arguments[i].starts_with("--timestamp=");
    if (!joined && (arguments[i] != "--timestamp" || i + 1 == arguments.size())) {
      ++i;
      continue;
    }
    timestamp = parse_timestamp(joined ? arguments[i].substr(12) : arguments[i + 1]);
    const auto first = arguments.begin() + static_cast<std::ptrdiff_t>(i);
    arguments.erase(first, first + (joined ? 1 : 2));
  }
  const std::string secrets = lookup(parse_arguments(arguments), "STRIPE_WEBHOOK_SECRET");
  const std::string secret = split(secrets, ',').front();
  if (const std::string problem = secret_problem(secret); !problem.empty())
    throw ConfigError("STRIPE_WEBHOOK_SECRET " + problem,
                      "set it to the endpoint's signing secret (whsec_...)");
  const std::string body((std::istreambuf_iterator<char>(std::cin)), std::istreambuf_iterator<char>());
  if (body.empty()) throw ConfigError("standard input is empty", "pg_billing sign < event.json");
  std::cout << sign(body, secret, timestamp) << std::endl;
  return std::cout ? 0 : 1;
}

}  // namespace billing::worker
