// What is to be simulated.
#pragma once

#include <cstdint>
#include <optional>

#include "core/instant.hpp"

namespace billing::simulation {

struct Scenario {
  std::uint64_t seed = 1;
  std::uint64_t customers = 100;
  int months = 6;
  Seconds start = 1'767'225'600;  // 2026-01-01
  Seconds end = 0;                // start and months later
  bool livemode = false;
  bool snapshots = false;  // events carry what the API would answer
  double bursts = 0.1;     // share of happenings whose events all fall into one second
  double noise = 0.02;     // share of happenings beside which something arrives that is not ours
  double upgrades = 0.1;   // share of customers whose events change their API version once
};

}  // namespace billing::simulation
