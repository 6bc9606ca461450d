// Changes of what a subscription consists of, with what they cost: asked for, previewed, made.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "worker/simulation/api/parameters.hpp"
#include "worker/simulation/api/subscribing.hpp"

namespace billing::simulation {

struct ItemChange {
  Json items;  // as they are afterwards; null: nothing changes
  std::string proration = "create_prorations";
  std::string payment = "allow_incomplete";
  Seconds when = 0;       // from which on is prorated
  bool restarts = false;  // the period begins anew: another interval, or asked for

  bool changes() const { return !items.is_null(); }
};

// items[] with price, quantity, id, deleted. Throws CallError.
ItemChange read_item_change(Shop& shop, const Json& subscription, const Parameters& given);
// items[] of what is to begin; `name` is how the array is called.
std::vector<Order> read_orders(Shop& shop, const Parameters& given, const char* name = "items");

// What was paid for and not used is credited, what comes in its place is charged for the rest of the period.
std::vector<LineDraft> prorations(const Json& subscription, const ItemChange& change);

// Makes it, bills it, and applies `edit` in the same event.
Json change_items(Shop& shop, Json subscription, const ItemChange& change, bool ends_trial,
                  const std::function<void(Json&)>& edit);

}  // namespace billing::simulation
