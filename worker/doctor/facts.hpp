// What doctor judges by: looked up once, of the settings, the database, Stripe and the endpoint.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/instant.hpp"
#include "core/json.hpp"
#include "worker/config.hpp"
#include "worker/refusal.hpp"
#include "worker/stripe/client.hpp"

namespace billing::doctor {

struct Facts {
  // Of the settings. Nothing else is known when they cannot be used.
  std::optional<worker::Problem> settings_problem;
  bool live = false;
  bool has_key = false;
  bool has_publishable_key = false;
  std::string url;  // of the endpoint, as Stripe calls it

  std::optional<worker::Problem> database_problem;
  Json database;  // what setup_facts() says

  std::optional<stripe::ApiError> stripe_problem;
  Json account;
  std::optional<Seconds> ahead;  // this machine's clock, of Stripe's; the database's comes on top
  std::optional<Seconds> database_ahead;
  std::vector<Json> endpoints, prices, portals;
  std::map<std::string, Json> references;  // "price:price_1", "lookup_key:pro": null when Stripe has none

  // The reason with which the endpoint answered a signed request that it has to refuse for its body alone.
  std::optional<std::string> self_test;

  bool knows_database() const { return !settings_problem && !database_problem; }
  bool knows_stripe() const { return !settings_problem && has_key && !stripe_problem; }
};

// Asks; throws nothing that is about the setup.
Facts gather_facts(const worker::Sources& sources);

}  // namespace billing::doctor
