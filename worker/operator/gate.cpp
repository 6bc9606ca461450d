// Who gets in.
#include "worker/operator/gate.hpp"

#include <boost/asio/ip/address.hpp>

#include "worker/text.hpp"

namespace billing::worker::operators {
namespace {

// "name:port", "[::1]:port" or either without a port.
std::string name_of_host(const std::string& host) {
  if (host.starts_with('[')) {
    const std::size_t end = host.find(']');
    return end == std::string::npos ? "" : host.substr(1, end - 1);
  }
  return host.substr(0, host.find(':'));
}

}  // namespace

std::optional<Refusal> judge_host(const Request& request, const std::vector<std::string>& names) {
  const std::string name = name_of_host(request.host);
  if (equals_ignoring_case(name, "localhost") || name == request.local) return std::nullopt;
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(name, error);
  if (!error && address.is_loopback()) return std::nullopt;
  for (const std::string& known : names)
    if (equals_ignoring_case(name, known)) return std::nullopt;
  return Refusal{421, "unknown_host",
                 "this page is not served under the name " + json_string(clip(name, 100)),
                 "Use its address, or add the name to PG_BILLING_OPERATOR_HOSTS.", ""};
}

std::optional<Refusal> judge_origin(const Request& request) {
  const Refusal refusal{403, "other_origin", "the form was sent from another page than this one",
                        "Open the page here, and send its own form.", ""};
  if (!request.fetch_site.empty()) {
    if (request.fetch_site == "same-origin") return std::nullopt;
    return refusal;
  }
  // Older browsers and programs. Behind a proxy the scheme differs: what counts is who is asked.
  if (request.origin.empty()) return std::nullopt;
  const std::size_t scheme = request.origin.find("://");
  if (scheme != std::string::npos && equals_ignoring_case(request.origin.substr(scheme + 3), request.host))
    return std::nullopt;
  return refusal;
}

std::optional<std::string> bearer_of(const Request& request) {
  constexpr std::string_view kScheme = "bearer ";
  const std::string_view given = request.authorization;
  if (given.empty()) return std::nullopt;
  if (!equals_ignoring_case(given.substr(0, kScheme.size()), kScheme)) return "";
  return std::string(trim(given.substr(kScheme.size())));
}

// Cookies do not know ports: with the port in its name, two workers on one machine keep out of each other's
// way.
std::string cookie_name(const Request& request) {
  return (request.tls ? "__Host-pg_billing_" : "pg_billing_") + request.port;
}

std::string cookie_of(const Request& request) {
  const std::string name = cookie_name(request) + "=";
  for (const std::string& item : split(request.cookie, ';')) {
    const std::string_view cookie = trim(item);
    if (cookie.starts_with(name)) return std::string(cookie.substr(name.size()));
  }
  return "";
}

std::string cookie_field(const Request& request, const std::string& value) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(SignIns::kLongest).count();
  return cookie_name(request) + "=" + value +
         "; Path=/; HttpOnly; SameSite=Strict; Max-Age=" + std::to_string(value.empty() ? 0 : seconds) +
         (request.tls ? "; Secure" : "");
}

std::string safe_place(const std::string& wanted) {
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%/?&=+:";
  const bool ours = wanted.starts_with('/') && !wanted.starts_with("//") && wanted.size() < 2000 &&
                    wanted.find_first_not_of(kPlain) == std::string::npos;
  return ours ? wanted : "/";
}

}  // namespace billing::worker::operators
