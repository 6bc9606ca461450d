// The flags of pg_billing sync.
#pragma once

#include <string>
#include <vector>

namespace billing::sync {

struct Options {
  bool help = false;
  std::string grants;  // none, current-period; "" = as it was begun, else none
  bool restart = false;
  bool json = false;
  int parallel = 4;
  std::vector<std::string> settings;  // the rest, as pg_billing serve takes them
};

// Throws worker::ConfigError for a value that it does not know.
Options parse_options(const std::vector<std::string>& arguments);
std::string options_help();

// The text behind --flag or --flag=; throws worker::ConfigError when there is none.
std::string value_of(const std::vector<std::string>& arguments, std::size_t& at);

}  // namespace billing::sync
