// set_user_entitlement, clear_user_entitlement: what one user gets of a feature, whatever plans say.
#include "functions/audit.hpp"
#include "functions/credit_call.hpp"
#include "functions/entitlement_call.hpp"
#include "functions/links.hpp"
#include "pg/spi.hpp"

using namespace billing;
using namespace billing::entitlements;

namespace {

constexpr std::size_t kMaxReason = 1000;

pg::Statement select_one(
    "SELECT e.setting::text, e.until FROM @user_entitlements e WHERE e.user_id = $1 AND e.feature = $2");
pg::Statement upsert(
    "INSERT INTO @user_entitlements AS e (user_id, feature, setting, removed, until, reason, set_by)"
    " VALUES ($1, $2, $3::jsonb, $3 IS NULL, $4, $5, $6)"
    " ON CONFLICT (user_id, feature) DO UPDATE SET setting = excluded.setting, removed = excluded.removed,"
    "  until = excluded.until, reason = excluded.reason, set_by = excluded.set_by, updated_at = now()");
pg::Statement remove_row("DELETE FROM @user_entitlements e WHERE e.user_id = $1 AND e.feature = $2");

struct Stored {
  Json setting;  // false when the feature is removed
  std::optional<Instant> until;
  bool operator==(const Stored&) const = default;
};

std::optional<Stored> read(const std::string& user_id, const std::string& feature) {
  const pg::Rows rows = select_one.run(user_id, feature);
  if (rows.empty()) return std::nullopt;
  return Stored{rows.null(0, 0) ? Json(false) : parse_json(rows.view(0, 0)), rows.maybe_number(0, 1)};
}

Json stored_json(const std::optional<Stored>& stored) {
  if (!stored) return nullptr;
  return {{"setting", stored->setting},
          {"until", stored->until ? Json(iso_time(*stored->until / 1'000'000)) : Json(nullptr)}};
}

std::optional<std::string> unless_empty(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

// As it is kept: written the one way that feature_json writes it. A switched-off feature is a removed one.
Json setting_argument(FunctionCallInfo fcinfo, int index, const std::string& feature) {
  if (PG_ARGISNULL(index))
    throw pg::SqlError(ERRCODE_NULL_VALUE_NOT_ALLOWED, "setting must not be null",
                       "Pass false to remove the feature; clear_user_entitlement() lets plans decide again.");
  try {
    const Feature parsed = parse_feature(feature, json_argument(fcinfo, index, "setting"));
    if (parsed.kind == Feature::Kind::boolean && !parsed.enabled) return false;
    return feature_json(parsed);
  } catch (const PlanError& error) {
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE, error.what(), error.hint);
  }
}

void tell(const std::string& user_id, const std::string& action, const std::string& feature,
          const std::string& reason, const std::optional<Stored>& before,
          const std::optional<Stored>& after) {
  audit::Entry entry = audit::done_by_hand(user_id, action, feature, reason);
  entry.details = {{"old", stored_json(before)}, {"new", stored_json(after)}};
  audit::write({entry});
}

}  // namespace

PG_BILLING_FUNCTION(set_user_entitlement) {
  const std::string user_id = user_argument(fcinfo, 0);
  const std::string feature = feature_argument(fcinfo, 1);
  Stored wanted{setting_argument(fcinfo, 2, feature), credits::time_argument(fcinfo, 3, "until")};
  const std::string reason = credits::optional_text_argument(fcinfo, 4, "reason", kMaxReason);
  const Instant now = pg::from_timestamptz(GetCurrentStatementStartTimestamp());
  if (wanted.until && *wanted.until <= now)
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                       "until is over: " + iso_time(*wanted.until / 1'000'000),
                       "Use a time in the future, or leave it out.");
  const Oid schema = pg::function_schema(fcinfo);
  Json answer;
  {
    pg::Session session(schema, pg::Session::Access::read_write);
    links::lock_users({user_id}, true);
    const std::optional<Stored> before = read(user_id, feature);
    if (before != wanted) {
      upsert.run(user_id, feature,
                 wanted.setting == false ? std::nullopt : std::optional(to_text(wanted.setting)),
                 pg::Time{wanted.until}, unless_empty(reason), calling_role());
      tell(user_id, wanted.setting == false ? "entitlement_removed" : "entitlement_set", feature, reason,
           before, wanted);
    }
    answer = stored_json(wanted);
    answer["status"] = before == wanted ? "unchanged" : wanted.setting == false ? "removed" : "set";
    answer["entitlement"] = Asked(user_id, feature, settings(schema), now).answer(feature, 1);
  }
  return jsonb_datum(answer);
}

PG_BILLING_FUNCTION(clear_user_entitlement) {
  const std::string user_id = user_argument(fcinfo, 0);
  const std::string feature = feature_argument(fcinfo, 1);
  const std::string reason = credits::optional_text_argument(fcinfo, 2, "reason", kMaxReason);
  const Instant now = pg::from_timestamptz(GetCurrentStatementStartTimestamp());
  const Oid schema = pg::function_schema(fcinfo);
  Json answer;
  {
    pg::Session session(schema, pg::Session::Access::read_write);
    links::lock_users({user_id}, true);
    const std::optional<Stored> before = read(user_id, feature);
    if (before) {
      remove_row.run(user_id, feature);
      tell(user_id, "entitlement_cleared", feature, reason, before, std::nullopt);
    }
    answer = {{"status", before ? "cleared" : "not_set"}};
    answer["entitlement"] = Asked(user_id, feature, settings(schema), now).answer(feature, 1);
  }
  return jsonb_datum(answer);
}
