// What Stripe has of a catalogue, what it lacks, and how it gets it. Nothing is deleted: a price that is
// replaced stays for whoever has it, and is not offered any more.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <map>
#include <string>
#include <vector>

#include "worker/catalogue/catalogue.hpp"
#include "worker/stripe/client.hpp"

namespace billing::catalogue {

struct Change {
  char sign = '~';  // + made, ~ changed
  std::string what;
  std::vector<std::string> details;
  stripe::Call call;
};

struct ShopPlan {
  std::vector<Change> changes;  // in the order in which they can be made
  // By plan: prices that are replaced, which stay the plan's for whoever has them.
  std::map<std::string, std::vector<PlanPrice>> replaced;
};

// Throws worker::ConfigError when Stripe cannot be asked.
boost::asio::awaitable<ShopPlan> compare_with_stripe(stripe::Client& client, const Catalogue& catalogue);
boost::asio::awaitable<Json> carry_out(stripe::Client& client, const Change& change);

}  // namespace billing::catalogue
