// Writes that are sent again have one effect. https://docs.stripe.com/api/idempotent_requests
#pragma once

#include <map>
#include <optional>
#include <string>

#include "core/instant.hpp"
#include "worker/simulation/api/call.hpp"

namespace billing::simulation {

class Idempotency {
 public:
  // The answer without any effect: the first one again, or why this cannot be. Nothing: it is the first, and
  // `finish` has to follow. Keys are known for 24 hours of the account's clock.
  std::optional<ApiAnswer> begin(const ApiRequest& request, Seconds now);
  // Refused parameters leave no trace: the same key may try others.
  void finish(const ApiRequest& request, const ApiAnswer& answer);

 private:
  struct Entry {
    std::string path, body;
    std::optional<ApiAnswer> answer;  // nothing: still under way
    Seconds since = 0;
  };
  std::map<std::string, Entry> entries_;
};

}  // namespace billing::simulation
