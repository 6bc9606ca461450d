// A request in, a verdict out.
#include "worker/webhook.hpp"

#include "core/event.hpp"
#include "core/signature.hpp"
#include "worker/text.hpp"

namespace billing::worker {
namespace {

const char* next_step_of(SignatureVerdict verdict) {
  switch (verdict) {
    case SignatureVerdict::mismatch:
      return "put the signing secret of exactly this endpoint into the worker's settings and send SIGHUP: "
             "the "
             "Dashboard shows it under Webhooks, `stripe listen` prints its own at start; while a secret is "
             "rolled, list both, separated by a comma";
    case SignatureVerdict::outside_tolerance:
      return "set the clocks (NTP), or let Stripe send the event again: every delivery gets a new time";
    case SignatureVerdict::missing_header:
      return "send webhooks with Stripe, `stripe trigger` or `pg_billing sign`; let the proxy pass "
             "Stripe-Signature on";
    default:
      return "let Stripe send the event again, and look at what the proxy does to the request";
  }
}

Refusal method_not_allowed(const std::string& path, const char* allowed) {
  return {405, "method_not_allowed", path + " takes " + allowed + " only", std::string("use ") + allowed,
          allowed};
}

// A guest's payment and a detached payment method say whose they are further inside.
std::string customer_inside(std::string_view payload) {
  try {
    return parse_event(payload).customer_id;
  } catch (const std::exception&) {
    return "";  // not an event: the database keeps it all the same, marked failed, and says why
  }
}

void describe(Webhook& webhook) {
  EventHeader header = peek_event(webhook.payload);
  webhook.event_id = std::move(header.id);
  webhook.event_type = std::move(header.type);
  webhook.subject = std::move(header.customer_id);
  if (webhook.subject.empty()) webhook.subject = customer_inside(webhook.payload);
  if (webhook.subject.empty()) webhook.subject = std::move(header.object_id);
  // Neither customer nor object: at least a repetition meets the connection of its first arrival.
  if (webhook.subject.empty()) webhook.subject = webhook.event_id;
}

}  // namespace

std::variant<const Endpoint*, Page, Refusal> route(const RequestHead& head, const Endpoints& endpoints) {
  for (const Endpoint& endpoint : endpoints) {
    if (endpoint.path != head.path) continue;
    if (head.method != "POST") return method_not_allowed(endpoint.path, "POST");
    return &endpoint;
  }
  constexpr std::pair<std::string_view, Page> kPages[] = {
      {"/healthz", Page::health}, {"/readyz", Page::ready}, {"/metrics", Page::metrics}};
  for (const auto& [path, page] : kPages) {
    if (path != head.path) continue;
    if (head.method != "GET" && head.method != "HEAD")
      return method_not_allowed(std::string(path), "GET, HEAD");
    return page;
  }
  return Refusal{404, "not_found", "nothing is served at " + std::string(clip(head.path, 200)),
                 "compare the endpoint's URL in Stripe with PG_BILLING_WEBHOOK_PATHS: paths match exactly, a "
                 "trailing slash included",
                 ""};
}

std::variant<Webhook, Refusal> judge(const Endpoint& endpoint, std::string_view signature, std::string body,
                                     std::int64_t now) {
  const SignatureVerdict verdict = verify_signature(body, signature, endpoint.secrets, now);
  if (verdict != SignatureVerdict::valid)
    return Refusal{400, name_of(verdict), explain(verdict, endpoint.secrets.size()), next_step_of(verdict),
                   ""};
  constexpr const char* kBodyStep =
      "look at what the proxy or the sender does to the body: Stripe sends UTF-8";
  if (body.find('\0') != std::string::npos)
    return Refusal{400, "nul_byte", "the body holds a NUL byte, which PostgreSQL cannot store as text",
                   kBodyStep, ""};
  if (!valid_utf8(body)) return Refusal{400, "invalid_utf8", "the body is not valid UTF-8", kBodyStep, ""};
  Webhook webhook;
  webhook.payload = std::move(body);
  webhook.endpoint = endpoint.path;
  describe(webhook);
  return webhook;
}

}  // namespace billing::worker
