// Every billing setting: name, default, meaning and check, in one sorted table.
//
// Values live in billing_settings and are the same for everybody. Each backend keeps a parsed copy, which the
// relation cache's invalidation of that table discards. Reading them needs no right on the table.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/credit_plan.hpp"
#include "core/scope.hpp"
#include "core/subscription_state.hpp"
#include "pg/prelude.hpp"

namespace billing {

struct Settings {
  AccessRules access;
  Scope scope;
  bool live = false;
  std::string time_zone = "UTC";  // whose calendar windows of usage follow
  Seconds cache_ttl = 300;
  Seconds parked_limit = 90 * 86400;
  credits::DebtPolicy clawback_debt = credits::DebtPolicy::dispute;
  Seconds installed_at = 0;
  std::optional<Seconds> grants_since;  // none: since the extension was installed
  bool notifications = true;
  bool notify_wake_up = true;
  std::optional<Seconds> notify_since;       // none: since the extension was installed
  std::vector<credits::Amount> low_credits;  // thresholds, ascending
  std::int64_t retry_limit = 10;
  std::int64_t generation = 0;  // of the newest change; cached rows carry the one they were computed with
};

// The settings in force for the extension in `schema`. The reference holds until the next call.
const Settings& settings(Oid schema);
// Those that settings() gave last, without a look at whether they still are: for whoever may be called while
// somebody holds that reference.
const Settings& last_settings(Oid schema);

struct SettingInfo {
  const char* name;
  const char* default_value;
  const char* description;
};
const std::vector<SettingInfo>& setting_infos();
// Name and value in force of each, in the same order.
std::vector<std::pair<std::string, std::string>> setting_values(Oid schema);

// Throws pg::SqlError naming the value when it is not acceptable, or when there is no such setting.
void check_setting(const std::string& name, const std::string& value);

}  // namespace billing
