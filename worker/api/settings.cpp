// What the settings say of the HTTP API, checked.
#include "worker/api/settings.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "worker/api/origin.hpp"
#include "worker/config.hpp"
#include "worker/text.hpp"

namespace billing::worker::api {
namespace {

constexpr Route kRoutes[] = {
    {Action::authorize, "authorize", "GET"}, {Action::cancel, "cancel", "POST"},
    {Action::change, "change", "POST"},      {Action::checkout, "checkout", "POST"},
    {Action::config, "config", "GET", true}, {Action::credits, "credits", "GET"},
    {Action::invoices, "invoices", "GET"},   {Action::payments, "payments", "GET"},
    {Action::portal, "portal", "POST"},      {Action::prices, "prices", "GET", true},
    {Action::resume, "resume", "POST"},      {Action::subscription, "subscription", "GET"},
};

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  for (const std::string& item : split(text, ','))
    if (const std::string_view word = trim(item); !word.empty()) words.emplace_back(word);
  return words;
}

class PathTable {
 public:
  PathTable(const Config& config, Paths& paths) : config_(config), paths_(paths) {}

  // With and without a slash at its end.
  void add(std::string path, const Route* route, const char* setting) {
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();
    if (!path.starts_with('/') || path.size() == 1 || path.find_first_of(" \t?#*") != std::string::npos)
      throw ConfigError(std::string(setting) + " holds " + json_string(path) + ", which is not a path",
                        "a path begins with / and has neither white space nor ? or #");
    for (const std::string& spelling : {path, path + "/"}) {
      for (const Endpoint& endpoint : config_.endpoints)
        if (endpoint.path == spelling) taken(spelling, setting, "PG_BILLING_WEBHOOK_PATHS has it, too");
      for (const std::string_view own : {"/healthz", "/readyz", "/metrics"})
        if (spelling == own) taken(spelling, setting, "the worker answers it itself");
      const auto [place, fresh] = paths_.emplace(spelling, route);
      if (!fresh && place->second != route) taken(spelling, setting, "it stands for something else already");
    }
  }

  void add_all(const std::string& prefix, const char* setting) {
    for (const Route& route : kRoutes) add(prefix + "/" + std::string(route.name), &route, setting);
  }

 private:
  [[noreturn]] static void taken(const std::string& path, const char* setting, const char* why) {
    throw ConfigError(std::string(setting) + " leads to " + json_string(path) + ", but " + why,
                      "choose another path");
  }

  const Config& config_;
  Paths& paths_;
};

// "path=name" for one of our paths, "path/*" for all of them.
void read_paths(const Config& config, Settings& settings) {
  PathTable table(config, settings.paths);
  std::string prefix(trim(config.api_prefix));
  while (prefix.ends_with('/')) prefix.pop_back();
  table.add_all(prefix, "PG_BILLING_API_PREFIX");
  constexpr const char* kSetting = "PG_BILLING_API_ALIASES";
  for (const std::string& word : words_of(config.api_aliases)) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos && word.ends_with("/*")) {
      table.add_all(word.substr(0, word.size() - 2), kSetting);
      continue;
    }
    const std::string name = equals == std::string::npos ? "" : word.substr(equals + 1);
    const Route* route = find_route(name);
    if (route == nullptr)
      throw ConfigError(std::string(kSetting) + " does not say what " + json_string(word) + " leads to",
                        "write /path=checkout, or another of the API's names, or /path/* for all of them");
    table.add(word.substr(0, equals), route, kSetting);
  }
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) throw ConfigError("PG_BILLING_JWT_JWKS: cannot read " + path, "check its path and its owner");
  return text.str();
}

void read_keys(Config& config, Settings& settings) {
  for (const std::string& secret : words_of(config.jwt_secret)) {
    if (secret.size() < kShortestSecret)
      throw ConfigError("a secret in PG_BILLING_JWT_SECRET has fewer than 32 characters",
                        "sign tokens with a longer one: openssl rand -hex 32; separate several by one comma");
    settings.secrets.push_back(secret);
  }
  settings.key_set = trim(config.jwt_key_set);
  if (settings.key_set.empty()) return;
  settings.key_set_is_url = settings.key_set.find("://") != std::string::npos;
  if (!settings.key_set_is_url) {
    std::string problem;
    parse_key_set(read_file(settings.key_set), true, problem);
    if (!problem.empty())
      throw ConfigError("PG_BILLING_JWT_JWKS: " + problem, "take the set that signs your users' tokens");
    return;
  }
  const auto place = parse_destination(settings.key_set);
  // Whoever is in between could sign in as anybody.
  if (!place || (!place->tls && !place->is_loopback()))
    throw ConfigError("PG_BILLING_JWT_JWKS is not an https URL",
                      "write the URL of your identity provider's key set, or the path of a file");
}

void read_origins(const Config& config, Settings& settings) {
  for (const std::string& word : words_of(config.origins)) {
    const auto origin = origin_of(word);
    if (!origin || !(word == *origin || word == *origin + "/"))
      throw ConfigError("PG_BILLING_ORIGINS holds " + json_string(word) + ", which is not an origin",
                        "write scheme, host and port as browsers do: https://app.example.com");
    settings.origins.push_back(*origin);
  }
  for (const auto& [name, text] : {std::pair("PG_BILLING_SUCCESS_URL", &config.success_url),
                                   std::pair("PG_BILLING_CANCEL_URL", &config.cancel_url),
                                   std::pair("PG_BILLING_RETURN_URL", &config.return_url)})
    if (!settings.origins.empty() && !landing_url(*text, settings.origins, settings.origins.front()))
      throw ConfigError(std::string(name) + " leads to none of PG_BILLING_ORIGINS",
                        "write a path, or a URL that begins with one of the origins");
}

}  // namespace

const Route* find_route(std::string_view name) {
  const auto found = std::find_if(std::begin(kRoutes), std::end(kRoutes),
                                  [&](const Route& route) { return route.name == name; });
  return found == std::end(kRoutes) ? nullptr : found;
}

void read_settings(Config& config) {
  Settings& settings = config.api;
  settings = {};
  settings.on = !trim(config.jwt_secret).empty() || !trim(config.jwt_key_set).empty();
  if (!settings.on) return;
  read_paths(config, settings);
  read_keys(config, settings);
  read_origins(config, settings);
  settings.tokens.claim = trim(config.jwt_claim);
  settings.tokens.issuers = words_of(config.jwt_issuer);
  settings.tokens.audiences = words_of(config.jwt_audience);
}

}  // namespace billing::worker::api
