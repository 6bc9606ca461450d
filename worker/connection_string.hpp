// DATABASE_URL, as libpq reads it: a URL or a list of keywords. Nothing here repeats it in a message, because
// it may hold a password.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace billing::worker {

struct ConnectionString {
  std::vector<std::pair<std::string, std::string>> parameters;

  const std::string* find(std::string_view keyword) const;
  void set(std::string keyword, std::string value);
  void set_default(std::string keyword, std::string value);

  // The host names that have to be looked up before libpq may see them, because libpq's own look-up blocks:
  // one for each host, "" where there is nothing to look up. Empty when libpq has to find out the host by
  // itself.
  std::vector<std::string> hosts_to_resolve() const;
  // One entry for each host of hosts_to_resolve: the addresses that were found.
  void set_addresses(const std::vector<std::vector<std::string>>& addresses);
};

// Nothing when libpq does not understand it.
std::optional<ConnectionString> parse_connection_string(const std::string& text);
bool holds_password(const std::string& text);

}  // namespace billing::worker
