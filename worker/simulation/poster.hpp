// Posts events signed to an endpoint, and sends what is not acknowledged again: as Stripe does, only sooner.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "worker/simulation/event.hpp"

namespace billing::simulation {

struct PostOptions {
  std::string url;
  std::string secret;
  double rate = 0;  // events a second; 0 = as fast as they are taken
  std::size_t connections = 8;
  std::chrono::seconds give_up{300};  // after the first attempt
  bool allow_remote = false;
  std::function<void(const Emitted&)> acknowledged;  // told of each; may be empty
};

struct PostReport {
  std::uint64_t sent = 0;  // requests
  std::uint64_t acknowledged = 0;
  std::uint64_t retried = 0;
  std::uint64_t given_up = 0;
  std::map<std::string, std::uint64_t> failures;  // by status, or by what went wrong
  std::vector<float> latencies;                   // of what was acknowledged, in milliseconds
  double seconds = 0;
};
void print(std::ostream& out, PostReport report);

// Where to post to. Throws worker::ConfigError for what is not an http:// URL.
struct PostTarget {
  std::string host;
  std::string port;
  std::string path;
};
PostTarget parse_url(const std::string& url);

// Ends when every event is acknowledged or given up. Throws worker::ConfigError for an address that is not
// this machine's own, unless that is allowed.
PostReport post(const PostOptions& options, const std::function<std::optional<Emitted>()>& source);

}  // namespace billing::simulation
