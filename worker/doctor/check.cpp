#include "worker/doctor/check.hpp"

namespace billing::doctor {
namespace {

// In the order in which they are mended.
constexpr Check kChecks[] = {
    {"settings", "the worker's settings, and the keys' modes", judge_settings},
    {"database", "the database and its extension", judge_database},
    {"versions", "versions of worker and extension", judge_versions},
    {"mode", "test or live", judge_mode},
    {"key", "the secret key", judge_key},
    {"publishable_key", "the publishable key", judge_publishable_key},
    {"account", "the Stripe account", judge_account},
    {"clock", "clocks", judge_clock},
    {"endpoint", "the webhook endpoint", judge_endpoint},
    {"endpoint_events", "its events", judge_endpoint_events},
    {"endpoint_version", "its API version", judge_endpoint_version},
    {"endpoint_single", "other endpoints", judge_endpoint_single},
    {"webhook_secret", "a signed request through the public address", judge_webhook_secret},
    {"plan_prices", "the plans' prices", judge_plan_prices},
    {"prices_without_plan", "prices of no plan", judge_prices_without_plan},
    {"plan_credits", "the plans' credits", judge_plan_credits},
    {"portal", "the customer portal", judge_portal},
    {"grace", "retries of payments against the grace", judge_grace},
    {"maintenance", "pg_cron's jobs", judge_maintenance},
    {"parked", "events that wait", judge_parked},
};

}  // namespace

std::string_view name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok:
      return "ok";
    case Verdict::warning:
      return "warning";
    case Verdict::failed:
      return "failed";
    case Verdict::unknown:
      break;
  }
  return "unknown";
}

std::span<const Check> checks() { return kChecks; }

}  // namespace billing::doctor
