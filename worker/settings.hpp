// The table of settings: it drives parsing, --help and reload.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "worker/config.hpp"

namespace billing::worker {

struct Setting {
  std::string_view name;  // in the environment and in the file
  std::string_view flag;  // "" for secrets, which would show in the process list
  std::string_view fallback;
  bool reloads;  // takes effect at SIGHUP
  bool secret;   // makes a file that others can read a mistake
  std::string_view meaning;
  // Stores the text in the configuration. Returns what is wrong with it, or "".
  std::string (*apply)(Config& config, const std::string& text);
};

// True or false: its flag may stand alone.
inline bool is_switch(const Setting& setting) {
  return setting.fallback == "false" || setting.fallback == "true";
}

// Sorted by name.
std::span<const Setting> settings();
const Setting* find_setting(std::string_view name);
const Setting* find_flag(std::string_view flag);
// The known name closest to a misspelt one; "" when none is close.
std::string_view nearest(std::string_view given, const std::vector<std::string_view>& known);
std::string settings_help();

}  // namespace billing::worker
