// What the rules cost without a database: parsing, signatures, order, states, credits.
//   cmake -S . -B build -DPG_BILLING_BENCH=ON && cmake --build build --target core_benchmark &&
//   build/bench/core_benchmark
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "../test/unit/credit_fixtures.hpp"
#include "core/credit_account.hpp"
#include "core/event.hpp"
#include "core/ordering.hpp"
#include "core/signature.hpp"
#include "core/subscription_state.hpp"

namespace {

using namespace billing;
namespace fixtures = billing::credits::fixtures;

const std::string kSecret = "whsec_core_benchmark";
constexpr Seconds kNow = billing::fixtures::kStart + 86400;

// A subscription as Stripe sends it, indented: with what no rule reads, some 3 kB.
std::string payload() {
  Json object = billing::fixtures::subscription_base();
  object["items"] = billing::fixtures::list({billing::fixtures::item()});
  object["items"]["data"][0]["current_period_start"] = billing::fixtures::kStart;
  object["items"]["data"][0]["current_period_end"] = billing::fixtures::kEnd;
  for (const char* unread :
       {"application", "application_fee_percent", "billing_cycle_anchor_config", "billing_thresholds",
        "cancellation_details", "days_until_due", "default_payment_method", "default_source", "description",
        "discounts", "next_pending_invoice_item_invoice", "on_behalf_of", "pending_invoice_item_interval",
        "pending_setup_intent", "pending_update", "test_clock", "transfer_data", "trial_settings"})
    object[unread] = nullptr;
  const Json event = {{"id", "evt_1"},
                      {"object", "event"},
                      {"api_version", "2025-10-29.clover"},
                      {"created", kNow},
                      {"data", {{"object", object}}},
                      {"livemode", false},
                      {"pending_webhooks", 1},
                      {"request", {{"id", nullptr}, {"idempotency_key", nullptr}}},
                      {"type", "customer.subscription.updated"}};
  return event.dump(2);
}

void parse_an_event(benchmark::State& state) {
  const std::string text = payload();
  for (auto _ : state) benchmark::DoNotOptimize(parse_event(text));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * text.size()));
}
BENCHMARK(parse_an_event);

void peek_at_an_event(benchmark::State& state) {
  const std::string text = payload();
  for (auto _ : state) benchmark::DoNotOptimize(peek_event(text));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * text.size()));
}
BENCHMARK(peek_at_an_event);

void verify_a_signature(benchmark::State& state) {
  const std::string text = payload();
  const std::string header = sign(text, kSecret, kNow);
  for (auto _ : state) benchmark::DoNotOptimize(verify_signature(text, header, {kSecret}, kNow));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * text.size()));
}
BENCHMARK(verify_a_signature);

void rank_an_event(benchmark::State& state) {
  const Event event = parse_event(payload());
  const Rank other = rank_of(event);
  for (auto _ : state) benchmark::DoNotOptimize(rank_of(event) < other);
}
BENCHMARK(rank_an_event);

void judge_a_user(benchmark::State& state) {
  const std::vector<Subscription> subscriptions = {read_subscription(parse_event(payload()).object)};
  const AccessRules rules;
  for (auto _ : state) {
    const UserState judged = judge_user(subscriptions, rules, instant(kNow));
    benchmark::DoNotOptimize(to_text(state_json("user_1", subscriptions, judged)));
  }
}
BENCHMARK(judge_a_user);

// What the invoices of so many months grant.
void plan_credits(benchmark::State& state) {
  std::vector<Json> invoices;
  for (int i = 0; i < state.range(0); ++i)
    invoices.push_back(fixtures::invoice(
        "in_" + std::to_string(i), fixtures::month(i), "subscription_cycle",
        {fixtures::period("il_" + std::to_string(i), "pro", fixtures::month(i), fixtures::month(i + 1))}));
  std::vector<const Json*> pointers;
  for (const Json& invoice : invoices) pointers.push_back(&invoice);
  const credits::Catalogue catalogue = fixtures::plans();
  for (auto _ : state) benchmark::DoNotOptimize(credits::plan_invoices(pointers, catalogue));
}
BENCHMARK(plan_credits)->Arg(1)->Arg(12)->Arg(60);

// A debit of an account with so many lots.
void use_credits(benchmark::State& state) {
  credits::Account account;
  account.user_id = "user_1";
  account.advance(instant(kNow));
  for (int i = 0; i < state.range(0); ++i) {
    credits::Lot lot;
    lot.amount = 1'000'000'000;
    lot.priority = i;
    account.grant(std::move(lot), {});
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize(account.use(1, {}, {}));
    account.entries.clear();
  }
}
BENCHMARK(use_credits)->Arg(1)->Arg(10);

}  // namespace

BENCHMARK_MAIN();
