// What the database has of a catalogue's plans, and how it gets the rest.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>
#include <vector>

#include "worker/catalogue/catalogue.hpp"
#include "worker/catalogue/shop.hpp"
#include "worker/store.hpp"

namespace billing::catalogue {

struct PlanChange {
  std::string plan_id;
  bool made = false;  // there was none
  std::vector<std::string> details;
  Json plan;  // as upsert_plan() takes it
};

// What the plans are to be: with every price that was ever theirs, so that nobody who has one loses the plan.
// Throws worker::ConfigError.
boost::asio::awaitable<std::vector<PlanChange>> compare_with_database(worker::Store& store,
                                                                      const Catalogue& catalogue,
                                                                      const ShopPlan& shop);
boost::asio::awaitable<void> store_plan(worker::Store& store, const PlanChange& change,
                                        const std::string& reason);
// Prices and products that Stripe has just made, without waiting for their webhooks.
boost::asio::awaitable<void> store_objects(worker::Store& store, const std::vector<Json>& objects, bool live);

}  // namespace billing::catalogue
