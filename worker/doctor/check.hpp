// The table of checks: each looks at the facts and says what is wrong, why, and what helps.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "worker/doctor/facts.hpp"

namespace billing::doctor {

enum class Verdict { ok, warning, failed, unknown };
std::string_view name_of(Verdict verdict);

struct Finding {
  Verdict verdict = Verdict::ok;
  std::string message;  // what is so
  std::string cause;    // why, and what it leads to
  std::string command;  // what helps
};

struct Check {
  std::string_view name;
  std::string_view about;
  Finding (*judge)(const Facts& facts);
};

std::span<const Check> checks();

// By what they look at; each says `unknown` when that could not be looked at.
Finding judge_settings(const Facts& facts);
Finding judge_publishable_key(const Facts& facts);
Finding judge_database(const Facts& facts);
Finding judge_versions(const Facts& facts);
Finding judge_mode(const Facts& facts);
Finding judge_maintenance(const Facts& facts);
Finding judge_parked(const Facts& facts);
Finding judge_grace(const Facts& facts);
Finding judge_key(const Facts& facts);
Finding judge_account(const Facts& facts);
Finding judge_clock(const Facts& facts);
Finding judge_endpoint(const Facts& facts);
Finding judge_endpoint_events(const Facts& facts);
Finding judge_endpoint_version(const Facts& facts);
Finding judge_endpoint_single(const Facts& facts);
Finding judge_webhook_secret(const Facts& facts);
Finding judge_plan_prices(const Facts& facts);
Finding judge_prices_without_plan(const Facts& facts);
Finding judge_plan_credits(const Facts& facts);
Finding judge_portal(const Facts& facts);

inline Finding unknown(std::string why) { return {Verdict::unknown, std::move(why), "", ""}; }

}  // namespace billing::doctor
