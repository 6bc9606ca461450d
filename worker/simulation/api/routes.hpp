// Which call does what. Objects and lists that are only read are answered by the books: reading.hpp.
#pragma once

#include <span>
#include <string_view>

#include "worker/simulation/api/call.hpp"
#include "worker/simulation/api/shop.hpp"

namespace billing::simulation {

struct Route {
  std::string_view method;
  std::string_view pattern;  // behind /v1/; a star is one id
  Json (*perform)(Shop& shop, const Call& call);
};

std::span<const Route> account_routes();
std::span<const Route> catalogue_routes();
std::span<const Route> checkout_routes();
std::span<const Route> customer_routes();
std::span<const Route> endpoint_routes();
std::span<const Route> invoice_routes();
std::span<const Route> meter_routes();
std::span<const Route> portal_routes();
std::span<const Route> refund_routes();
std::span<const Route> schedule_routes();
std::span<const Route> subscription_routes();

// What a shop has from its first day on: the portal's configuration.
void furnish(Shop& shop);

}  // namespace billing::simulation
