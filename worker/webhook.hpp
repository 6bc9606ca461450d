// A request in, a verdict out: where it goes, whether Stripe signed it, what it carries. No sockets.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "worker/endpoint.hpp"
#include "worker/refusal.hpp"
#include "worker/request.hpp"

namespace billing::worker {

enum class Page { health, ready, metrics };

// Where a request leads, told from its head alone, so that nobody's body is read in vain.
std::variant<const Endpoint*, Page, Refusal> route(const RequestHead& head, const Endpoints& endpoints);

// A signed event on its way into the database.
struct Webhook {
  std::string payload;
  std::string endpoint;
  // For the log and for choosing a connection; "" when the payload does not say. The database judges for
  // itself.
  std::string event_id;
  std::string event_type;
  std::string subject;  // the customer, else the object: one subject's events stay on one connection
};

// The signature comes first: nothing is read into bytes that Stripe did not sign.
std::variant<Webhook, Refusal> judge(const Endpoint& endpoint, std::string_view signature, std::string body,
                                     std::int64_t now);

}  // namespace billing::worker
