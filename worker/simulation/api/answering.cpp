#include "worker/simulation/api/answering.hpp"

#include <algorithm>
#include <array>

#include "worker/simulation/api/parameters.hpp"
#include "worker/simulation/api/reading.hpp"
#include "worker/simulation/api/routes.hpp"
#include "worker/text.hpp"

namespace billing::simulation {
namespace {

CallError unauthorised(const std::string& message) { return {401, "invalid_request_error", "", message}; }

void check_key(const Shop& shop, std::string_view authorization) {
  constexpr std::string_view kScheme = "Bearer ";
  const std::string_view key = authorization.starts_with(kScheme) ? authorization.substr(kScheme.size()) : "";
  if (key.empty())
    throw unauthorised(
        "You did not provide an API key. You need to provide your API key in the Authorization header.");
  const std::string mode = shop.shape().livemode ? "live_" : "test_";
  if (!key.starts_with("sk_" + mode) && !key.starts_with("rk_" + mode))
    throw unauthorised("Invalid API Key provided: " + std::string(key.substr(0, 8)) + "****");
}

// Whether a path is of a pattern, with what stands for its stars.
bool matches(std::string_view pattern, const std::vector<std::string>& path, std::vector<std::string>& ids) {
  const std::vector<std::string> parts = worker::split(pattern, '/');
  if (parts.size() != path.size()) return false;
  ids.clear();
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts[i] == "*" && !path[i].empty())
      ids.push_back(path[i]);
    else if (parts[i] != path[i])
      return false;
  }
  return true;
}

const Route* find_route(Call& call) {
  using Routes = std::span<const Route> (*)();
  constexpr std::array<Routes, 11> kAll = {
      account_routes, catalogue_routes, checkout_routes, customer_routes, endpoint_routes,    invoice_routes,
      meter_routes,   portal_routes,    refund_routes,   schedule_routes, subscription_routes};
  const std::vector<std::string> path = worker::split(std::string_view(call.path).substr(4), '/');
  for (const Routes routes : kAll)
    for (const Route& route : routes())
      if (route.method == call.method && matches(route.pattern, path, call.ids)) return &route;
  return nullptr;
}

std::string perform(Shop& shop, Call& call) {
  if (call.path.starts_with("/v1/")) {
    if (const Route* route = find_route(call)) {
      shop.set_cause(call.method == "GET" ? Cause{} : Cause{call.request_id, call.idempotency_key});
      Json answer = route->perform(shop, call);
      expand(shop, answer, at(call.parameters, "expand"));
      return answer.dump(2);
    }
    if (call.method == "GET")
      if (auto found = read_books(shop, call)) return *std::move(found);
  }
  throw CallError(404, "invalid_request_error", "",
                  "Unrecognized request URL (" + call.method + ": " + call.path +
                      "). Please see https://stripe.com/docs or we can help at https://support.stripe.com/.");
}

}  // namespace

ApiAnswer answer_api(Shop& shop, const ApiRequest& request) {
  try {
    check_key(shop, request.authorization);
    const std::string_view target = request.target;
    const std::size_t question = std::min(target.find('?'), target.size());
    Call call;
    call.method = request.method;
    call.path = percent_decode(target.substr(0, question));
    call.request_id = request.id;
    call.idempotency_key = request.idempotency_key;
    call.parameters = parse_form(target.substr(std::min(question + 1, target.size())));
    if (request.method != "GET") call.parameters.update(parse_form(request.body));
    ApiAnswer answer;
    answer.body = perform(shop, call);
    shop.set_cause({});
    return answer;
  } catch (const CallError& error) {
    shop.set_cause({});
    return error.answer();
  }
}

}  // namespace billing::simulation
