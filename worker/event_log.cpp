// The lines that say what became of a webhook.
#include "worker/event_log.hpp"

#include "core/signature.hpp"
#include "worker/log.hpp"

namespace billing::worker {
namespace {

const char* event_of(std::string_view outcome) {
  if (outcome == "duplicate") return "stripe_webhook_duplicate";
  if (outcome == "parked") return "stripe_webhook_parked";
  if (outcome == "failed") return "stripe_webhook_failed";
  return "stripe_webhook_handled_successfully";
}

log::Level level_of(std::string_view outcome) {
  return outcome == "failed" || outcome == "parked" ? log::Level::warning : log::Level::info;
}

bool is_about_signature(std::string_view reason) {
  for (int i = 0; i <= static_cast<int>(SignatureVerdict::empty_body); ++i)
    if (reason == name_of(static_cast<SignatureVerdict>(i))) return true;
  return reason == "repeated_signature_header";
}

}  // namespace

void log_outcome(const Webhook& webhook, const EventResult& result,
                 std::chrono::steady_clock::duration latency) {
  log::Line line(level_of(result.outcome), event_of(result.outcome));
  line.add("stripe_event_id", result.id)
      .add("event_type", webhook.event_type)
      .add("outcome", result.outcome)
      // Under the name that is searched for, without a line of its own.
      .add("signature", "stripe_webhook_verified");
  // Only what happened now: a duplicate or a parked event activated nothing.
  if (result.outcome == "processed") line.add("activity", result.activity);
  line.add("error", result.error).add("endpoint", webhook.endpoint).add("latency_ms", latency);
}

void log_retry(const EventResult& result) {
  log::Line(level_of(result.outcome), event_of(result.outcome))
      .add("stripe_event_id", result.id)
      .add("event_type", result.type)
      .add("outcome", result.outcome)
      .add("retry", true)
      .add("activity", result.activity)
      .add("error", result.error);
}

void log_verified(const Webhook& webhook) {
  log::Line(log::Level::debug, "stripe_webhook_verified")
      .add("stripe_event_id", webhook.event_id)
      .add("event_type", webhook.event_type)
      .add("endpoint", webhook.endpoint);
}

void log_refusal(const Refusal& refusal, const RefusedRequest& request) {
  log::Line(log::Level::warning, is_about_signature(refusal.reason) ? "stripe_webhook_invalid_signature"
                                                                    : "stripe_webhook_rejected")
      .add("reason", refusal.reason)
      .add("status", refusal.status)
      .add("error", refusal.message)
      .add("next_step", refusal.next_step)
      .add("stripe_event_id", request.event_id)
      .add("event_type", request.event_type)
      .add("endpoint", request.endpoint)
      .add("remote", request.remote)
      .add("latency_ms", request.latency);
}

}  // namespace billing::worker
