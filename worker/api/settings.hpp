// What the settings say of the HTTP API, checked.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "worker/api/jwt.hpp"

namespace billing::worker {
struct Config;
}

namespace billing::worker::api {

enum class Action {
  authorize,
  cancel,
  change,
  checkout,
  config,
  credits,
  invoices,
  payments,
  portal,
  prices,
  resume,
  subscription
};

struct Route {
  Action action;
  std::string_view name;    // the last part of its path
  std::string_view method;  // HEAD is answered where GET is
  bool open = false;        // to everybody, without a token
};
const Route* find_route(std::string_view name);

using Paths = std::map<std::string, const Route*, std::less<>>;

struct Settings {
  bool on = false;
  Paths paths;                       // exact, with and without a slash at the end
  std::vector<std::string> origins;  // https://app.example.com
  std::vector<std::string> secrets;  // of HS256
  std::string key_set;               // a file's path, or a URL
  bool key_set_is_url = false;
  TokenRules tokens;
};

// Of the texts in the configuration. Throws ConfigError.
void read_settings(Config& config);

}  // namespace billing::worker::api
