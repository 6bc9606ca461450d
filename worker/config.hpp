// Every setting of the worker, from flags, the environment and a file, checked.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "worker/api/settings.hpp"
#include "worker/connection_string.hpp"
#include "worker/endpoint.hpp"
#include "worker/log.hpp"
#include "worker/outbound.hpp"

namespace billing::worker {

struct Config {
  using Milliseconds = std::chrono::milliseconds;

  std::string database_url;
  ConnectionString connection;
  std::string schema;  // "" = wherever the extension is
  std::uint64_t connections = 0;

  bool live_mode = false;
  std::string secret_key;
  std::string publishable_key;
  std::string api_base;
  std::string api_certificates;
  std::uint64_t api_rate = 0;      // requests a second
  Milliseconds reconcile_every{};  // 0: never
  std::string webhook_secret;
  std::string webhook_paths;
  std::string webhook_url;
  Endpoints endpoints;

  std::string listen;
  std::string tls_certificate;
  std::string tls_key;

  std::string notify_url;
  std::string notify_secret;
  std::string notify_certificates;
  bool notify_allow_http = false;
  Milliseconds notify_timeout{};
  std::uint64_t notify_connections = 0;
  std::optional<Destination> notify_to;  // none: nobody is told
  std::vector<std::string> notify_keys;  // decoded; the first signs first

  bool shadow = false;
  std::string shadow_query;
  Milliseconds shadow_interval{};

  std::string operator_token;
  std::string operator_listen;
  std::string operator_hosts;
  std::string operator_database_url;
  std::vector<std::string> operator_tokens;  // none: no operator's page
  std::vector<std::string> operator_names;   // of operator_hosts
  ConnectionString operator_connection;

  std::string api_prefix;
  std::string api_aliases;
  std::uint64_t api_checkouts = 0;  // a user and minute
  std::uint64_t api_connections = 0;
  std::string origins;
  std::string success_url;
  std::string cancel_url;
  std::string return_url;
  std::string jwt_secret;
  std::string jwt_key_set;
  std::string jwt_issuer;
  std::string jwt_audience;
  std::string jwt_claim;
  api::Settings api;  // of these

  std::uint64_t max_body = 0;
  std::uint64_t max_connections = 0;
  std::uint64_t queue_events = 0;
  std::uint64_t queue_bytes = 0;
  Milliseconds header_timeout{};
  Milliseconds body_timeout{};
  Milliseconds request_timeout{};
  Milliseconds idle_timeout{};
  Milliseconds batch_timeout{};
  Milliseconds drain_timeout{};
  log::Level log_level = log::Level::info;

  // The text of each setting as it was found, by its name: what a reload compares.
  std::map<std::string, std::string> texts;
  // Worth saying, not worth stopping for.
  std::vector<std::string> warnings;
};

// A setting that cannot be used. The message names it and never repeats a secret.
class ConfigError : public std::runtime_error {
 public:
  ConfigError(const std::string& message, std::string hint)
      : std::runtime_error(message), hint_(std::move(hint)) {}
  const std::string& hint() const { return hint_; }

 private:
  std::string hint_;
};

// Where the settings come from. Flags win over the environment, which wins over the file.
struct Sources {
  std::map<std::string, std::string> flags;  // by the setting's name
  std::string file;                          // "" = none
};

// Reads the arguments behind the subcommand. Throws ConfigError for what it does not know.
Sources parse_arguments(const std::vector<std::string>& arguments);
// Throws ConfigError. Who takes no webhooks needs no secrets for them.
Config load_config(const Sources& sources, bool takes_webhooks = true);
// One setting as its sources give it, unchecked: for subcommands that need no whole configuration.
std::string lookup(const Sources& sources, const std::string& name);

}  // namespace billing::worker
