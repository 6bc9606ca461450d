// The credits that simulated histories tell to be granted, against what the rules grant for their objects.
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/credit_plan.hpp"
#include "core/event.hpp"
#include "core/fields.hpp"
#include "worker/simulation/history.hpp"
#include "worker/simulation/truth.hpp"

namespace billing::simulation {
namespace {

struct Snapshot {
  Json first, last;
};
using Snapshots = std::map<std::pair<std::string, std::string>, Snapshot>;  // by type and id

Snapshots snapshots(History& history) {
  Snapshots known;
  while (const std::optional<Emitted> emitted = history.next()) {
    const Event event = parse_event(emitted->payload);
    if (event.livemode || event.object_id.empty()) continue;
    Snapshot& snapshot = known[{event.object_type, event.object_id}];
    if (snapshot.first.is_null()) snapshot.first = event.object;
    snapshot.last = event.object;
  }
  return known;
}

// What the rules grant for the last snapshots, where the model tells it.
TEST(Simulation, TruthTellsTheCreditsOfInvoicesAndTrials) {
  std::size_t told = 0, untold = 0, trials = 0, by_month = 0;
  for (std::uint64_t seed = 1; seed <= 2; ++seed) {
    Scenario made;
    made.seed = seed;
    made.customers = 100;
    made.months = 8;
    made.bursts = made.upgrades = 0.3;
    History history(made);
    const Snapshots known = snapshots(history);
    credits::Catalogue catalogue;
    std::map<std::string, std::vector<const Json*>> invoices;  // by subscription
    for (const auto& [key, each] : known) {
      const Json& object = each.last;
      if (key.first == "price") {
        const Json& product = known.at({"product", text_of(object, "product").value()}).last;
        catalogue[key.second] = credits::read_price(object, product);
      }
      if (key.first == "invoice" && credits::may_grant(object))
        invoices[fields::invoice_subscription(object)].push_back(&object);
    }
    for (const Account& account : history.accounts()) {
      std::map<std::string, credits::Amount> planned;
      for (const Subscription& s : account.subscriptions()) {
        for (const credits::PlannedGrant& grant : credits::plan_invoices(invoices[s.id], catalogue))
          if (grant.source == "invoice") planned[grant.invoice_id] += grant.amount;
        const Json& begun = known.at({"subscription", s.id}).first;
        if (const auto grant = credits::plan_trial(read_subscription(begun), catalogue))
          planned.emplace("trial", grant->amount);
      }
      const Json truth = true_credits(account);
      for (const auto& [source, amount] : planned)
        EXPECT_TRUE(amount == 0 || truth.contains(source)) << source << ' ' << amount;
      for (const auto& [source, amount] : truth.items()) {
        ++(amount.is_null() ? untold : source == "trial" ? trials : told);
        if (amount.is_null()) continue;
        EXPECT_EQ(amount, planned[source]) << source;
        if (amount > 0 && planned[source] % (12 * 10) == 0) ++by_month;
      }
    }
  }
  EXPECT_GT(told, 400U);
  EXPECT_GT(trials, 10U);
  EXPECT_GT(by_month, 10U);
  EXPECT_LT(untold, told / 3);
}

}  // namespace
}  // namespace billing::simulation
