// usage_windows and usage_records: how much of a feature was used, and by which uses.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/entitlement.hpp"
#include "core/json.hpp"
#include "settings.hpp"

namespace billing::usage {

struct Row {
  std::string feature;
  UsageWindow window;
  std::int64_t used = 0;
  Instant updated_at = 0;
};

// The rows that can matter at `now`: open, or over so recently that they may tell where the next one begins.
// Of one feature, or of all when it is "".
std::vector<Row> read(const std::string& user_id, const std::string& feature, Instant now);

// The window that counts at `now`, and what is used in it.
struct Counter {
  UsageWindow window;
  std::int64_t used = 0;
};
Counter counter_of(const Entitlement& entitlement, const std::vector<Row>& rows, const Settings& settings,
                   Instant now);

// Locks the user's newest window of the feature, which whoever counts locks first; nothing when there is
// none.
std::optional<Row> lock_newest(const std::string& user_id, const std::string& feature);
// Locks this window, opening it when it is not there.
Row open(const std::string& user_id, const std::string& feature, const UsageWindow& window,
         std::optional<std::int64_t> limit, Instant now);
std::optional<Row> lock(const std::string& user_id, const std::string& feature, Instant window_start);

// A line of the ledger.
struct Record {
  std::int64_t amount = 0;  // negative: released
  std::optional<std::int64_t> refers_to;
  std::optional<std::int64_t> transaction_id;
  std::string actor_id;
  std::string idempotency_key;
  Json metadata = Json::object();
};
struct Counted {
  std::int64_t record_id = 0;
  std::int64_t used_after = 0;
};
// Counts in a window that is locked, whose bounds and kind become those given.
Counted count(const std::string& user_id, const std::string& feature, const UsageWindow& window,
              const Record& record, Instant now);

// A use, and how much of it has not been released.
struct Use {
  std::string feature;
  Instant window_start = 0;
  std::int64_t amount = 0;
  std::int64_t left = 0;
};
std::optional<Use> find_use(const std::string& user_id, std::int64_t record_id);

}  // namespace billing::usage
