// Whether somebody may try a plan before paying: once per person, and not after having paid.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/plan_catalogue.hpp"

namespace billing {

struct TrialEligibility {
  bool eligible = false;
  std::string reason;  // eligible, or why not: a word from the table in docs/sql-reference.md
  std::string next_step;
  std::int64_t days = 0;
};

// `tried` are the subscriptions that began with a trial, `owned` all there have been. Those that stand for
// the free plan, and those that never began, use up nothing. `plan` is what is to be tried; empty for the
// longest trial that is offered. `awaited`: one was bought that nothing was told of yet.
TrialEligibility judge_trial(const std::vector<Subscription>& tried, const std::vector<Subscription>& owned,
                             const Plans& plans, std::string_view plan, bool awaited = false);

}  // namespace billing
