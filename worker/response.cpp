// The bytes of an answer.
#include "worker/response.hpp"

#include <boost/beast/http/status.hpp>
#include <ctime>
#include <ostream>

#include "worker/text.hpp"

namespace billing::worker {

namespace http = boost::beast::http;

namespace {

// As HTTP wants it; made once a second.
const char* date() {
  static std::time_t made_at = -1;
  static char text[32];
  const std::time_t now = std::time(nullptr);
  if (now != made_at) {
    made_at = now;
    std::tm parts{};
    gmtime_r(&now, &parts);
    std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  }
  return text;
}

}  // namespace

Response refused(const Refusal& refusal) {
  Response response;
  response.status = refusal.status;
  response.body = "{\"error\":{\"reason\":" + json_string(refusal.reason) +
                  ",\"message\":" + json_string(refusal.message) +
                  ",\"next_step\":" + json_string(refusal.next_step) + "}}\n";
  response.allow = refusal.allow;
  response.retry = refusal.status == 503;
  return response;
}

std::string serialise(const Response& response) {
  const auto reason = http::obsolete_reason(static_cast<http::status>(response.status));
  std::string out;
  out.reserve(256 + response.body.size());
  out += "HTTP/1.1 ";
  out += std::to_string(response.status);
  out += ' ';
  out.append(reason.data(), reason.size());
  out += "\r\nDate: ";
  out += date();
  // RFC 9110, section 8.6: an answer that never has a body has no length either.
  if (response.status != 204) {
    out += "\r\nContent-Type: ";
    out += response.content_type;
    out += "\r\nContent-Length: ";
    out += std::to_string(response.body.size());
  }
  out += "\r\nCache-Control: no-store";
  for (const auto& [name, value] : response.fields)
    out.append("\r\n").append(name).append(": ").append(value);
  if (!response.allow.empty()) out += "\r\nAllow: " + response.allow;
  if (response.retry) out += "\r\nRetry-After: 5";
  if (response.close) out += "\r\nConnection: close";
  out += "\r\n\r\n";
  if (!response.omit_body) out += response.body;
  return out;
}

}  // namespace billing::worker
