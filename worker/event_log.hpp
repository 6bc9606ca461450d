// The lines that say what became of a webhook. Their names are the ones that operators search for.
#pragma once

#include <chrono>
#include <string_view>

#include "worker/refusal.hpp"
#include "worker/store.hpp"
#include "worker/webhook.hpp"

namespace billing::worker {

// stripe_webhook_handled_successfully, _duplicate, _parked or _failed: one line per event, after its commit.
void log_outcome(const Webhook& webhook, const EventResult& result,
                 std::chrono::steady_clock::duration latency);
// The same for an event that was stored before: tried again by the housekeeping, or with a batch that brought
// what it waited for.
void log_retry(const EventResult& result);
// stripe_webhook_verified, at level debug.
void log_verified(const Webhook& webhook);

// stripe_webhook_invalid_signature or stripe_webhook_rejected: one line per request that was refused.
struct RefusedRequest {
  std::string_view endpoint;  // the path asked for
  std::string_view remote;
  std::string_view event_id;  // when it got so far
  std::string_view event_type;
  std::chrono::steady_clock::duration latency{};
};
void log_refusal(const Refusal& refusal, const RefusedRequest& request);

}  // namespace billing::worker
