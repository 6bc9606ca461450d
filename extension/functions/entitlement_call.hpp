// What the functions about entitlements share: arguments, and the question that they all answer.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "functions/arguments.hpp"
#include "functions/holdings.hpp"
#include "functions/usage_store.hpp"

namespace billing::entitlements {

// 1 to 80 of a-z, A-Z, 0-9, '_', '-', '.'.
std::string feature_argument(FunctionCallInfo fcinfo, int index);
// Not null, from `least` to a million million.
std::int64_t count_argument(FunctionCallInfo fcinfo, int index, const char* name, std::int64_t least);
void check_count(std::int64_t count, const char* name, std::int64_t least);

// What a user has, and has used, at an instant, or at what the user's test clock shows: read once, asked
// about any number of features.
class Asked {
 public:
  // Who decides about what is locked reads what is newest; who only reads may ask what is stored.
  enum class From { tables, stored };
  Asked(const std::string& user_id, const std::string& feature, const Settings& settings, Instant now,
        From from = From::tables);

  const holdings::Found& found() const { return found_; }
  Instant now() const { return now_; }
  const Settings& settings() const { return settings_; }
  Entitlement entitlement(const std::string& feature) const { return resolve(feature, found_.holdings); }
  usage::Counter counter(const Entitlement& entitlement) const;
  // As check_entitlement answers.
  CapAnswer told(const std::string& feature, std::int64_t required);
  Json answer(const std::string& feature, std::int64_t required);
  // The same about an entitlement and a counter that are known already; credits apart.
  Json answer(const Entitlement& entitlement, const usage::Counter& counter, std::int64_t required) const;

 private:
  CapAnswer told(const Entitlement& entitlement, const usage::Counter& counter, std::int64_t required) const;
  std::int64_t available_credits();

  std::string user_id_;
  const Settings& settings_;  // as long as nobody asks for them again
  holdings::Found found_;
  Instant now_;  // the user's own time
  std::vector<usage::Row> rows_;
  std::optional<std::int64_t> credits_;
};

// The answer with whom it is about.
Json answer_json(const std::string& user_id, const CapAnswer& answer);
Datum answer_datum(const std::string& user_id, const CapAnswer& answer);

// What `amount` of it costs in credits.
std::int64_t cost_of(const Feature& feature, std::int64_t amount);

}  // namespace billing::entitlements
