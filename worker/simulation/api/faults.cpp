#include "worker/simulation/api/faults.hpp"

#include <algorithm>

namespace billing::simulation {

Fault Faults::draw(const ApiRequest& request, Random& random) {
  const auto planned = std::find_if(planned_.begin(), planned_.end(), [&](const Planned& one) {
    return (one.method.empty() || one.method == request.method) && request.target.starts_with(one.path);
  });
  if (planned != planned_.end()) {
    const Fault fault = planned->fault;
    if (--planned->times == 0) planned_.erase(planned);
    return fault;
  }
  if (!random.chance(share_)) return {};
  // Every third is a connection that breaks; of a write every second time after it was made.
  if (random.chance(0.33))
    return {request.method != "GET" && random.chance(0.5) ? FaultKind::lost : FaultKind::broken};
  if (random.chance(0.5)) return {FaultKind::error};
  return {FaultKind::rate_limit, random.chance(0.1) ? 1 : -1};
}

std::optional<FaultKind> fault_named(const std::string& name) {
  constexpr std::pair<std::string_view, FaultKind> kNames[] = {{"rate_limit", FaultKind::rate_limit},
                                                               {"error", FaultKind::error},
                                                               {"broken", FaultKind::broken},
                                                               {"lost", FaultKind::lost},
                                                               {"slow", FaultKind::slow}};
  for (const auto& [known, kind] : kNames)
    if (name == known) return kind;
  return std::nullopt;
}

ApiAnswer answer_of(const Fault& fault) {
  if (fault.kind == FaultKind::error)
    return CallError(500, "api_error", "", "An unknown error occurred.").answer();
  ApiAnswer answer = CallError(429, "invalid_request_error", "rate_limit",
                               "Request rate limit exceeded. Learn more about rate limits here "
                               "https://stripe.com/docs/rate-limits.")
                         .answer();
  if (fault.seconds >= 0) answer.headers.emplace_back("Retry-After", std::to_string(fault.seconds));
  return answer;
}

}  // namespace billing::simulation
