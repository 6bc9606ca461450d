// Customers and subscriptions of the served account: how they begin, renew, change and end. What the calls,
// the hosted pages and the passing of time have in common.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "worker/simulation/api/invoicing.hpp"
#include "worker/simulation/api/shop.hpp"

namespace billing::simulation {

// customer.created; `fill` completes it first.
Json make_customer(Shop& shop, const std::function<void(Json&)>& fill);
// A card of the customer's, which pays from now on where `as_default` says so.
Json attach_card(Shop& shop, Json& customer, bool as_default);

struct Order {
  Json price;
  std::int64_t quantity = 1;
};
struct SubscriptionStart {
  std::string customer;
  std::vector<Order> items;
  Json metadata = Json::object();
  Time trial_end;
  std::string missing_payment_method = "create_invoice";
  std::string description;
};
// The subscription, its first invoice and its payment. Nothing stops it from being incomplete.
Json begin_subscription(Shop& shop, const SubscriptionStart& start);

bool is_live(const Json& subscription);
Period period_of(const Json& subscription);
const Json& recurring_of(const Json& price);
// The first end of a period behind `after`, counted from the anchor.
Seconds period_end(Seconds anchor, const Json& recurring, Seconds after);
Json item_json(Shop& shop, const std::string& subscription, const Order& order, Period period);
void set_items(Json& subscription, Json items);
void set_period(Json& subscription, Period period);
std::vector<LineDraft> lines_of(const Json& subscription, Period period);

// The end, at once. Returns the subscription as it is then.
Json end_subscription(Shop& shop, Json subscription, const char* reason);
// Sets or takes back that it ends with its period.
void set_cancel_at_period_end(Shop& shop, Json& changed, bool ends);
// A trial, a pause or a period is over: what follows is told and billed.
Json activate(Shop& shop, Json subscription, Seconds anchor, const char* reason);

// Puts on the agenda what the current period brings.
void plan_period(Shop& shop, const Json& subscription);

}  // namespace billing::simulation
