// DATABASE_URL, as libpq reads it.
#include "worker/connection_string.hpp"

#include <libpq-fe.h>

#include <boost/asio/ip/address.hpp>
#include <cstdlib>
#include <memory>

#include "worker/text.hpp"

namespace billing::worker {
namespace {

// What libpq would use when the connection string does not say.
std::string from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string out;
  for (std::size_t i = 0; i < parts.size(); ++i) out += (i == 0 ? "" : ",") + parts[i];
  return out;
}

}  // namespace

const std::string* ConnectionString::find(std::string_view keyword) const {
  for (const auto& [name, value] : parameters)
    if (name == keyword) return &value;
  return nullptr;
}

void ConnectionString::set(std::string keyword, std::string value) {
  for (auto& [name, old] : parameters) {
    if (name != keyword) continue;
    old = std::move(value);
    return;
  }
  parameters.emplace_back(std::move(keyword), std::move(value));
}

void ConnectionString::set_default(std::string keyword, std::string value) {
  if (find(keyword) == nullptr) set(std::move(keyword), std::move(value));
}

std::vector<std::string> ConnectionString::hosts_to_resolve() const {
  // A service file or explicit addresses: libpq has its own way, or needs no look-up.
  if (find("service") != nullptr || find("hostaddr") != nullptr || !from_environment("PGSERVICE").empty() ||
      !from_environment("PGHOSTADDR").empty())
    return {};
  const std::string* given = find("host");
  const std::string text = given != nullptr ? *given : from_environment("PGHOST");
  if (text.empty()) return {};
  std::vector<std::string> hosts = split(text, ',');
  bool any = false;
  for (std::string& host : hosts) {
    boost::system::error_code error;
    boost::asio::ip::make_address(host, error);
    const bool is_socket = host.empty() || host.front() == '/' || host.front() == '@';
    if (is_socket || !error)
      host.clear();
    else
      any = true;
  }
  return any ? hosts : std::vector<std::string>();
}

void ConnectionString::set_addresses(const std::vector<std::vector<std::string>>& addresses) {
  const std::vector<std::string> names = hosts_to_resolve();
  const std::string* given = find("host");
  const std::vector<std::string> hosts = split(given != nullptr ? *given : from_environment("PGHOST"), ',');
  const std::string* port = find("port");
  const std::vector<std::string> ports = split(port != nullptr ? *port : from_environment("PGPORT"), ',');
  std::vector<std::string> all_hosts;
  std::vector<std::string> all_addresses;
  std::vector<std::string> all_ports;
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    // A socket or an address stays as it is, with an empty hostaddr; a name that nobody knows is left out.
    const std::vector<std::string> as_given = {""};
    for (const std::string& address : names[i].empty() ? as_given : addresses[i]) {
      all_hosts.push_back(hosts[i]);
      all_addresses.push_back(address);
      all_ports.push_back(ports.size() == hosts.size() ? ports[i] : ports.front());
    }
  }
  set("host", joined(all_hosts));
  set("hostaddr", joined(all_addresses));
  if (ports.size() > 1) set("port", joined(all_ports));
}

std::optional<ConnectionString> parse_connection_string(const std::string& text) {
  char* message = nullptr;
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
      PQconninfoParse(text.c_str(), &message), PQconninfoFree);
  // The message quotes the part that was not understood, which may be the password: never shown.
  PQfreemem(message);
  if (options == nullptr) return std::nullopt;
  ConnectionString parsed;
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option)
    if (option->val != nullptr) parsed.parameters.emplace_back(option->keyword, option->val);
  return parsed;
}

bool holds_password(const std::string& text) {
  const auto parsed = parse_connection_string(text);
  return parsed && (parsed->find("password") != nullptr || parsed->find("sslpassword") != nullptr);
}

}  // namespace billing::worker
