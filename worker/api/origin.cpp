// Where front ends are.
#include "worker/api/origin.hpp"

#include <algorithm>

namespace billing::worker::api {
namespace {

constexpr std::size_t kLongestUrl = 2048;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// What no browser sends on as it is, and a backslash, which browsers take for a slash.
bool is_plain(std::string_view url) {
  return !url.empty() && url.size() <= kLongestUrl && std::all_of(url.begin(), url.end(), [](char c) {
    return c > ' ' && c < 0x7f && c != '\\' && c != '"' && c != '<' && c != '>' && c != '`';
  });
}

bool is_host(std::string_view host) {
  if (host.starts_with('[') && host.ends_with(']'))
    return host.size() > 2 &&
           host.substr(1, host.size() - 2).find_first_not_of("0123456789abcdef:.") == std::string_view::npos;
  return !host.empty() &&
         host.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-._") == std::string_view::npos;
}

bool is_port(std::string_view port) {
  return !port.empty() && port.size() <= 5 && port.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

std::optional<std::string> origin_of(std::string_view url) {
  if (!is_plain(url)) return std::nullopt;
  const std::size_t colon = url.find("://");
  if (colon == std::string_view::npos) return std::nullopt;
  std::string scheme(url.substr(0, colon));
  std::transform(scheme.begin(), scheme.end(), scheme.begin(), lower);
  if (scheme != "https" && scheme != "http") return std::nullopt;
  const std::string_view rest = url.substr(colon + 3);
  std::string authority(rest.substr(0, rest.find_first_of("/?#")));
  std::transform(authority.begin(), authority.end(), authority.begin(), lower);
  const std::size_t bracket = authority.rfind(']');
  const std::size_t port_at = authority.find(':', bracket == std::string::npos ? 0 : bracket);
  const std::string host = authority.substr(0, port_at);
  if (!is_host(host)) return std::nullopt;
  std::string origin = scheme + "://" + host;
  if (port_at == std::string::npos) return origin;
  const std::string port = authority.substr(port_at + 1);
  if (!is_port(port)) return std::nullopt;
  if (port != (scheme == "https" ? "443" : "80")) origin += ":" + port;
  return origin;
}

bool is_listed(const std::string& origin, const std::vector<std::string>& origins) {
  return std::find(origins.begin(), origins.end(), origin) != origins.end();
}

std::optional<std::string> landing_url(std::string_view url, const std::vector<std::string>& origins,
                                       const std::string& home) {
  if (url.starts_with('/') && !url.starts_with("//") && is_plain(url) && is_listed(home, origins))
    return home + std::string(url);
  const auto origin = origin_of(url);
  if (!origin || !is_listed(*origin, origins)) return std::nullopt;
  return std::string(url);
}

}  // namespace billing::worker::api
