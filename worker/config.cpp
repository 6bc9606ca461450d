// Every setting of the worker, from flags, the environment and a file, checked.
#include "worker/config.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "core/signature.hpp"
#include "core/standard_webhook.hpp"
#include "worker/settings.hpp"
#include "worker/text.hpp"

namespace billing::worker {
namespace {

using Texts = std::map<std::string, std::string>;

constexpr const char* kWebhookSecret = "STRIPE_WEBHOOK_SECRET";
constexpr const char* kHelpHint = "pg_billing --help lists every setting";

bool is_variable_name(std::string_view name) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
  return !name.empty() && kLetters.find(name.front()) != std::string_view::npos &&
         std::all_of(name.begin(), name.end(), [&](char c) {
           return kLetters.find(c) != std::string_view::npos || (c >= '0' && c <= '9');
         });
}

// KEY=VALUE lines, # comments; VALUE may stand in quotes.
Texts read_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw ConfigError("cannot read the configuration file " + path, "check its path and its owner");
  Texts texts;
  std::size_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    const std::string_view content = trim(line);
    if (content.empty() || content.front() == '#') continue;
    const std::size_t equals = content.find('=');
    const std::string name(trim(content.substr(0, equals)));
    const std::string place = path + " line " + std::to_string(number);
    // The line itself is not repeated: it may be a secret that lost its name.
    if (equals == std::string_view::npos || !is_variable_name(name))
      throw ConfigError(place + " is not NAME=VALUE", "write one setting per line, comments after #");
    std::string_view value = trim(content.substr(equals + 1));
    if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'') && value.back() == value.front())
      value = value.substr(1, value.size() - 2);
    if (!texts.emplace(name, value).second)
      throw ConfigError(place + " sets " + name + " a second time", "keep one of the two lines");
  }
  return texts;
}

void check_permissions(const std::string& path, const Texts& texts, const Endpoints& endpoints) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0 || (status.st_mode & 077) == 0) return;
  const auto holds_secret = [&](const auto& text) {
    const Setting* setting = find_setting(text.first);
    if (text.second.empty()) return false;
    if (text.first.ends_with("DATABASE_URL")) return holds_password(text.second);
    return (setting != nullptr && setting->secret) ||
           std::any_of(endpoints.begin(), endpoints.end(),
                       [&](const Endpoint& endpoint) { return endpoint.variable == text.first; });
  };
  const auto found = std::find_if(texts.begin(), texts.end(), holds_secret);
  if (found != texts.end())
    throw ConfigError(path + " holds " + found->first + " and can be read by others",
                      "run chmod 600 " + path);
}

std::string lookup(const Sources& sources, const Texts& file, const std::string& name) {
  if (const auto flag = sources.flags.find(name); flag != sources.flags.end()) return flag->second;
  // A blank variable counts as unset: what starts services often passes every variable on.
  if (const char* value = std::getenv(name.c_str()); value != nullptr && !trim(value).empty()) return value;
  if (const auto line = file.find(name); line != file.end()) return line->second;
  return "";
}

std::vector<std::string> read_secrets(const std::string& variable, const std::string& text, Config& config) {
  if (trim(text).empty())
    throw ConfigError(
        variable + " is not set",
        "set it to the endpoint's signing secret (whsec_...), from the Stripe Dashboard or from "
        "`stripe listen`");
  std::vector<std::string> secrets = split(text, ',');
  for (const std::string& secret : secrets) {
    if (const std::string problem = secret_problem(secret); !problem.empty())
      throw ConfigError("a secret in " + variable + " " + problem,
                        "separate several secrets by one comma and nothing else");
    if (!secret.starts_with("whsec_"))
      config.warnings.push_back("a secret in " + variable + " does not begin with whsec_");
  }
  return secrets;
}

// "path" or "path=VARIABLE", comma-separated.
Endpoints read_paths(const std::string& text) {
  constexpr std::string_view kReserved[] = {"/healthz", "/readyz", "/metrics"};
  Endpoints endpoints;
  for (const std::string& item : split(text, ',')) {
    const std::string_view entry = trim(item);
    const std::size_t equals = entry.find('=');
    Endpoint endpoint{std::string(entry.substr(0, equals)), {}, kWebhookSecret};
    const std::string shown = json_string(endpoint.path);
    if (!endpoint.path.starts_with('/') || endpoint.path.find_first_of(" \t?#") != std::string::npos)
      throw ConfigError("PG_BILLING_WEBHOOK_PATHS holds " + shown + ", which is not a path",
                        "a path begins with / and has neither white space nor ? or #");
    if (std::find(std::begin(kReserved), std::end(kReserved), endpoint.path) != std::end(kReserved))
      throw ConfigError("PG_BILLING_WEBHOOK_PATHS holds " + shown + ", which the worker answers itself",
                        "choose another path");
    if (equals != std::string_view::npos) {
      endpoint.variable = entry.substr(equals + 1);
      if (!is_variable_name(endpoint.variable))
        throw ConfigError("PG_BILLING_WEBHOOK_PATHS names no variable behind " + shown,
                          "write path=NAME, NAME being the variable that holds the secrets, not a secret");
    }
    for (const Endpoint& other : endpoints)
      if (other.path == endpoint.path)
        throw ConfigError("PG_BILLING_WEBHOOK_PATHS holds " + shown + " twice", "keep one of the two");
    endpoints.push_back(std::move(endpoint));
  }
  return endpoints;
}

void check_mode(const char* name, const std::string& key, bool live_mode) {
  for (const char* kind : {"sk", "rk", "pk"}) {
    const std::string prefix = std::string(kind) + "_";
    const bool live = key.starts_with(prefix + "live_");
    if (!live && !key.starts_with(prefix + "test_")) continue;
    if (live == live_mode) return;
    throw ConfigError(std::string(name) + " is a " + (live ? "live" : "test") +
                          " key, STRIPE_LIVE_MODE says " + (live_mode ? "true" : "false"),
                      live ? "use a test key, or set STRIPE_LIVE_MODE=true"
                           : "use a live key, or set STRIPE_LIVE_MODE=false");
  }
}

void check_api_base(Config& config) {
  while (config.api_base.ends_with('/')) config.api_base.pop_back();
  const auto base = parse_destination(config.api_base);
  if (!base)
    throw ConfigError("STRIPE_API_BASE is not an http or https URL", "leave it out: https://api.stripe.com");
  // The key goes with every request.
  if (!base->tls && !base->is_loopback())
    throw ConfigError("STRIPE_API_BASE is plain http to another machine",
                      "use https; the secret key goes there");
}

void read_shadow(Config& config) {
  const bool query = !trim(config.shadow_query).empty();
  if (!config.shadow && query)
    throw ConfigError("PG_BILLING_SHADOW_QUERY is set without PG_BILLING_SHADOW",
                      "start with --shadow, or leave the query out");
  if (config.shadow && !query)
    config.warnings.push_back("PG_BILLING_SHADOW_QUERY is not set: nothing is compared");
  if (config.shadow && !trim(config.notify_url).empty())
    config.warnings.push_back("PG_BILLING_NOTIFY_URL is not used: a shadow tells nobody");
}

void read_notifications(Config& config) {
  if (config.shadow || trim(config.notify_url).empty()) return;
  // The URL itself is not repeated: its query may hold a token.
  config.notify_to = parse_destination(config.notify_url);
  if (!config.notify_to)
    throw ConfigError("PG_BILLING_NOTIFY_URL is not an http or https URL",
                      "write https://app.example.com/billing, without user, password and fragment");
  if (!config.notify_to->tls && !config.notify_to->is_loopback() && !config.notify_allow_http)
    throw ConfigError("PG_BILLING_NOTIFY_URL is plain http to another machine",
                      "use https, or set PG_BILLING_NOTIFY_ALLOW_HTTP=true where the network is yours");
  if (trim(config.notify_secret).empty())
    throw ConfigError(
        "PG_BILLING_NOTIFY_URL is set without PG_BILLING_NOTIFY_SECRET",
        "set it to whsec_ and the base64 of 32 random bytes: echo \"whsec_$(openssl rand -base64 32)\"");
  for (const std::string& secret : split(config.notify_secret, ',')) {
    const auto key = standard_webhook_key(secret);
    if (!key)
      throw ConfigError("a secret in PG_BILLING_NOTIFY_SECRET is not whsec_ and the base64 of 24 to 64 bytes",
                        "make one: echo \"whsec_$(openssl rand -base64 32)\"; separate several by one comma");
    config.notify_keys.push_back(*key);
  }
  load_client_tls(config.notify_certificates);
}

ConnectionString read_connection(const std::string& name, const std::string& text) {
  auto connection = parse_connection_string(text);
  if (!connection)
    throw ConfigError(name + " is not a connection string that libpq understands",
                      "write postgresql://user@host:5432/database; percent-encode special characters of a "
                      "password");
  return std::move(*connection);
}

void read_operators(Config& config) {
  constexpr std::size_t kShortestToken = 24;
  if (trim(config.operator_token).empty()) return;
  for (const std::string& token : split(config.operator_token, ',')) {
    const bool visible = std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 0x7f; });
    if (token.size() < kShortestToken || !visible)
      throw ConfigError(
          "a token in PG_BILLING_OPERATOR_TOKEN has fewer than 24 characters, or others than "
          "letters, digits and signs",
          "make one: openssl rand -hex 24; separate several by one comma and nothing else");
    config.operator_tokens.push_back(token);
  }
  if (trim(config.operator_database_url).empty())
    throw ConfigError("PG_BILLING_OPERATOR_TOKEN is set without PG_BILLING_OPERATOR_DATABASE_URL",
                      "name a role of its own: CREATE ROLE billing_operator LOGIN; SELECT "
                      "grant_billing_role('billing_operator', 'admin')");
  config.operator_connection =
      read_connection("PG_BILLING_OPERATOR_DATABASE_URL", config.operator_database_url);
  for (const std::string& item : split(config.operator_hosts, ',')) {
    const std::string name(trim(item));
    if (name.find_first_of("/:@ ") != std::string::npos)
      throw ConfigError("PG_BILLING_OPERATOR_HOSTS holds " + json_string(name) + ", which is not a host name",
                        "write names alone, without scheme, port and path: billing.example.com");
    if (!name.empty()) config.operator_names.push_back(name);
  }
}

void check_file_names(const Sources& sources, const Texts& file, const Endpoints& endpoints) {
  std::vector<std::string_view> known;
  for (const Setting& setting : settings()) known.push_back(setting.name);
  for (const Endpoint& endpoint : endpoints) known.push_back(endpoint.variable);
  for (const auto& [name, value] : file) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    const std::string_view close = nearest(name, known);
    throw ConfigError(sources.file + " sets " + name + ", which is not a setting",
                      close.empty() ? kHelpHint : "did you mean " + std::string(close) + "?");
  }
}

}  // namespace

Sources parse_arguments(const std::vector<std::string>& arguments) {
  Sources sources;
  if (const char* file = std::getenv("PG_BILLING_CONFIG"); file != nullptr) sources.file = file;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    const std::size_t equals = argument.find('=');
    const std::string flag = argument.substr(0, equals);
    const Setting* setting = find_flag(flag);
    if (setting == nullptr && flag != "--config") {
      std::vector<std::string_view> known = {"--config", "--help", "--version"};
      for (const Setting& each : settings())
        if (!each.flag.empty()) known.push_back(each.flag);
      const std::string_view close = nearest(flag, known);
      throw ConfigError("unknown argument " + json_string(flag),
                        close.empty() ? kHelpHint : "did you mean " + std::string(close) + "?");
    }
    const bool last = i + 1 == arguments.size();
    std::string value;
    if (equals != std::string::npos)
      value = argument.substr(equals + 1);
    else if (setting != nullptr && is_switch(*setting) && (last || arguments[i + 1].starts_with("--")))
      value = "true";
    else if (last)
      throw ConfigError(flag + " needs a value", flag + " VALUE");
    else
      value = arguments[++i];
    if (setting == nullptr)
      sources.file = std::move(value);
    else
      sources.flags[std::string(setting->name)] = std::move(value);
  }
  return sources;
}

Config load_config(const Sources& sources, bool takes_webhooks) {
  const Texts file = sources.file.empty() ? Texts() : read_file(sources.file);
  Config config;
  for (const Setting& setting : settings()) {
    const std::string name(setting.name);
    std::string text = lookup(sources, file, name);
    if (trim(text).empty()) text = setting.fallback;
    if (const std::string problem = setting.apply(config, text); !problem.empty())
      throw ConfigError(name + " " + problem, kHelpHint);
    config.texts[name] = std::move(text);
  }

  config.endpoints = read_paths(config.webhook_paths);
  if (!sources.file.empty()) {
    check_file_names(sources, file, config.endpoints);
    check_permissions(sources.file, file, config.endpoints);
  }
  for (Endpoint& endpoint : config.endpoints) {
    const std::string text = lookup(sources, file, endpoint.variable);
    if (takes_webhooks || !trim(text).empty())
      endpoint.secrets = read_secrets(endpoint.variable, text, config);
    config.texts[endpoint.variable] = text;
  }
  check_mode("STRIPE_SECRET_KEY", config.secret_key, config.live_mode);
  check_mode("STRIPE_PUBLISHABLE_KEY", config.publishable_key, config.live_mode);
  if (config.tls_certificate.empty() != config.tls_key.empty())
    throw ConfigError("one of PG_BILLING_TLS_CERT and PG_BILLING_TLS_KEY is set without the other",
                      "set both for TLS, or neither for plain HTTP behind a proxy");
  check_api_base(config);
  read_shadow(config);
  read_notifications(config);
  read_operators(config);
  api::read_settings(config);
  config.connection = read_connection("DATABASE_URL", config.database_url);
  if (sources.flags.contains("DATABASE_URL") && holds_password(config.database_url))
    config.warnings.push_back(
        "--database-url holds a password, which every user of this machine can see in the process list; set "
        "DATABASE_URL in the environment or in the file of --config instead");
  return config;
}

std::string lookup(const Sources& sources, const std::string& name) {
  return lookup(sources, sources.file.empty() ? Texts() : read_file(sources.file), name);
}

}  // namespace billing::worker
