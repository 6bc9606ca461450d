// What goes wrong with answers: now and then by chance, the same each time for a seed, and as tests ask for.
#pragma once

#include <deque>
#include <optional>
#include <string>

#include "worker/simulation/api/call.hpp"
#include "worker/simulation/random.hpp"

namespace billing::simulation {

enum class FaultKind {
  none,
  rate_limit,  // 429
  error,       // 500, before anything was done
  broken,      // no answer, and nothing was done
  lost,        // no answer, but it was done
  slow,        // an answer late, or too late
};

struct Fault {
  FaultKind kind = FaultKind::none;
  int seconds = 1;  // of a slow answer, or of Retry-After; -1: without that
};

class Faults {
 public:
  explicit Faults(double share) : share_(share) {}

  // What tests ask for comes first.
  Fault draw(const ApiRequest& request, Random& random);

  struct Planned {
    Fault fault;
    int times = 1;
    std::string method, path;  // "" is any; what the path begins with
  };
  void plan(Planned planned) { planned_.push_back(std::move(planned)); }
  void clear() { planned_.clear(); }
  void set_share(double share) { share_ = share; }

 private:
  double share_;
  std::deque<Planned> planned_;
};

std::optional<FaultKind> fault_named(const std::string& name);
// The answer to what is refused before it is begun.
ApiAnswer answer_of(const Fault& fault);

}  // namespace billing::simulation
