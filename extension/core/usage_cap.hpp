// Whether something more may be used: pure, from what is given, what is counted, and how much is wanted; and
// the answer about it, refusals included.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/entitlement.hpp"
#include "core/json.hpp"

namespace billing {

// `amount` more on top of `used`.
struct CapVerdict {
  bool allowed = false;
  std::int64_t used_after = 0;  // when allowed
  std::int64_t beyond = 0;      // of used_after, what lies beyond the limit
  std::string reason;           // within_limit, unlimited, over_limit (soft), overage, cap_exceeded
};
CapVerdict judge_cap(const Feature& feature, std::int64_t used, std::int64_t amount);

// What is left of the limit; never less than 0. None when there is no limit.
std::optional<std::int64_t> remaining_of(const Feature& feature, std::int64_t used);

// What is known about a user beside the entitlement, for saying what could be done.
struct Standing {
  std::string reason;  // of the state without access, "" with access
  std::string next_step;
  std::vector<const Plan*> lapsed;  // of subscriptions that give no access now
  bool has_subscription = false;    // with access
};

struct Refusal {
  std::string reason;
  std::string next_step;
};
// Why the feature is not given.
Refusal why_not_given(const Entitlement& entitlement, const Standing& standing, const Plans& plans);
// What could be done about a cap that is reached.
std::string next_step_at_cap(const Entitlement& entitlement, const Standing& standing, const Plans& plans);

// The answer of check_entitlement. Texts that are "" are null in JSON.
struct CapAnswer {
  std::string feature;
  bool allowed = false;
  std::string reason;
  std::string next_step;
  const char* kind = "";
  std::optional<std::int64_t> limit;
  std::optional<std::int64_t> used;
  std::optional<std::int64_t> remaining;
  bool unlimited = false;
  std::string mode;
  std::optional<std::int64_t> overage;
  std::optional<std::int64_t> overage_limit;
  std::string window;
  std::string window_start;
  std::string next_reset_at;
  std::vector<std::string> sources;  // the first one decides
  Json value;
  std::optional<std::int64_t> credit_cost;
};
// `window` counts, when the feature is counted.
CapAnswer answer_of(const Entitlement& entitlement, const UsageWindow& window, std::int64_t used,
                    std::int64_t required, const Standing& standing, const Plans& plans);
Json entitlement_json(const CapAnswer& answer);

}  // namespace billing
