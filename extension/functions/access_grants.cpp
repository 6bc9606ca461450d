// grant_access, revoke_access.
#include "functions/access_grants.hpp"

#include "functions/arguments.hpp"
#include "functions/audit.hpp"
#include "functions/cache.hpp"
#include "functions/links.hpp"
#include "functions/plan_store.hpp"
#include "pg/row_reader.hpp"
#include "pg/spi.hpp"

namespace billing::access_grants {

namespace {

pg::RowReader grants_of("access_grants", "access_grants_pkey",
                        "user_id plan_id reason created_at until revoked_at");

pg::RowReader anchors_of("billing_users", "billing_users_pkey", "access_told access_due_at");

AccessGrant grant_from(const pg::Rows& rows, std::size_t i) {
  return {rows.text(i, 1), rows.text(i, 2), rows.maybe_seconds(i, 3).value_or(0), rows.maybe_seconds(i, 4),
          rows.maybe_seconds(i, 5)};
}

}  // namespace

std::map<std::string, std::vector<AccessGrant>> read(const std::set<std::string>& users,
                                                     std::map<std::string, notifications::Anchor>& anchors) {
  std::map<std::string, std::vector<AccessGrant>> found;
  for (const std::string& user : users) {
    const pg::Rows rows = anchors_of.find({pg::parameter(user)});
    if (rows.empty()) continue;
    notifications::Anchor& anchor = anchors[user];
    if (!rows.null(0, 0)) anchor.told = rows.document(0, 0);
    anchor.due = rows.maybe_number(0, 1);
    if (auto grants = read(user); !grants.empty()) found[user] = std::move(grants);
  }
  return found;
}

std::vector<AccessGrant> read(const std::string& user_id) {
  std::vector<AccessGrant> found;
  const pg::Rows rows = grants_of.find({pg::parameter(user_id)});
  for (std::size_t i = 0; i < rows.size(); ++i) found.push_back(grant_from(rows, i));
  return found;
}

}  // namespace billing::access_grants

using namespace billing;

namespace {

pg::Statement write_grant(
    "INSERT INTO @access_grants AS g (user_id, plan_id, until, reason, granted_by) VALUES ($1, $2, $3, $4, "
    "$5)"
    " ON CONFLICT (user_id, plan_id) DO UPDATE SET until = excluded.until, reason = excluded.reason,"
    "  granted_by = excluded.granted_by, updated_at = now(), revoked_at = NULL, created_at ="
    "  CASE WHEN g.revoked_at IS NOT NULL OR g.until <= now() THEN now() ELSE g.created_at END");
pg::Statement end_grant(
    "UPDATE @access_grants g SET revoked_at = now(), updated_at = now() WHERE g.user_id = $1 AND g.plan_id = "
    "$2");

std::string plan_argument(FunctionCallInfo fcinfo, int index) {
  std::string plan = text_argument(fcinfo, index, "plan");
  if (plan.empty())
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "plan must not be empty",
                       "SELECT id FROM subscription_plans lists them.");
  return plan;
}

// Nothing is for ever.
std::optional<Seconds> until_argument(FunctionCallInfo fcinfo, int index) {
  if (PG_ARGISNULL(index)) return std::nullopt;
  const TimestampTz time = PG_GETARG_TIMESTAMPTZ(index);
  if (TIMESTAMP_IS_NOEND(time)) return std::nullopt;
  const bool sensible = !TIMESTAMP_NOT_FINITE(time) && time > GetCurrentStatementStartTimestamp() &&
                        time <= pg::to_timestamptz(instant(kLastSecond));
  if (!sensible)
    throw pg::SqlError(
        ERRCODE_INVALID_PARAMETER_VALUE,
        "until is not a time to come: " + std::string(pg::guard([&] { return timestamptz_to_str(time); })),
        "Use a later time, or leave it out for access for ever; revoke_access() ends one.");
  return pg::from_timestamptz(time) / 1'000'000;
}

std::optional<AccessGrant> current(const std::string& user_id, const std::string& plan, Seconds now) {
  for (const AccessGrant& grant : access_grants::read(user_id)) {
    const bool over = grant.revoked || (grant.until && *grant.until <= now);
    if (grant.plan == plan && !over) return grant;
  }
  return std::nullopt;
}

Json time_or_null(const std::optional<Seconds>& time) { return time ? Json(iso_time(*time)) : Json(nullptr); }
Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

// What the user has now, stored for readers as well.
void finish(Json& answer, const std::string& user_id, const Settings& rules, Instant now) {
  notifications::Occasion occasion;
  occasion.kind = notifications::Occasion::Kind::hand;
  cache::store({user_id}, rules, now, occasion);
  const cache::Computed made = cache::compute(user_id, rules, now);
  answer["has_access"] = made.state.effective.has_access;
  answer["access_until"] = time_or_null(made.state.access_until);
}

}  // namespace

PG_BILLING_FUNCTION(grant_access) {
  const std::string user_id = user_argument(fcinfo, 0);
  const std::string plan = plan_argument(fcinfo, 1);
  const std::optional<Seconds> until = until_argument(fcinfo, 2);
  const std::string reason = reason_argument(fcinfo, 3);
  const Oid schema = pg::function_schema(fcinfo);
  cache::refuse_snapshots();
  Json answer = {{"success", true},
                 {"user_id", user_id},
                 {"plan", plan},
                 {"until", time_or_null(until)},
                 {"reason", text_or_null(reason)}};
  {
    pg::Session session(schema, pg::Session::Access::read_write);
    links::lock_users({user_id}, true);
    if (plans(schema).find(plan) == nullptr)
      throw pg::SqlError(ERRCODE_NO_DATA_FOUND, "there is no plan \"" + shorten(plan) + "\"",
                         "SELECT id FROM subscription_plans lists them; upsert_plan() adds one.");
    const Instant now = pg::from_timestamptz(GetCurrentStatementStartTimestamp());
    const std::optional<AccessGrant> before = current(user_id, plan, now / 1'000'000);
    const bool same = before && before->until == until && before->reason == reason;
    answer["status"] = same ? "exists" : before ? "changed" : "granted";
    if (!same) {
      const pg::Time end{until ? std::optional(instant(*until)) : std::nullopt};
      write_grant.run(user_id, plan, end, reason.empty() ? std::nullopt : std::optional(reason),
                      calling_role());
      audit::Entry entry = audit::done_by_hand(user_id, "access_granted", plan, reason);
      entry.details = {{"until", time_or_null(until)}};
      if (before) entry.details["until_before"] = time_or_null(before->until);
      audit::write({entry});
    }
    finish(answer, user_id, settings(schema), now);
  }
  return jsonb_datum(answer);
}

PG_BILLING_FUNCTION(revoke_access) {
  const std::string user_id = user_argument(fcinfo, 0);
  const std::string plan = plan_argument(fcinfo, 1);
  const std::string reason = reason_argument(fcinfo, 2);
  if (reason.empty())
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "reason must not be empty",
                       "Say why access is taken back: the reason is kept in audit_logs.");
  const Oid schema = pg::function_schema(fcinfo);
  cache::refuse_snapshots();
  Json answer = {{"success", true}, {"status", "revoked"}, {"user_id", user_id}, {"plan", plan}};
  {
    pg::Session session(schema, pg::Session::Access::read_write);
    if (access_grants::read(user_id).empty()) {
      // Nobody to lock: a user is known from the first grant on.
      answer.update(
          {{"success", false}, {"status", "not_granted"}, {"reason", "not_granted"}, {"next_step", "none"}});
    } else {
      links::lock_users({user_id}, true);
      const Instant now = pg::from_timestamptz(GetCurrentStatementStartTimestamp());
      if (const auto before = current(user_id, plan, now / 1'000'000)) {
        end_grant.run(user_id, plan);
        audit::Entry entry = audit::done_by_hand(user_id, "access_revoked", plan, reason);
        entry.details = {{"until_before", time_or_null(before->until)}};
        audit::write({entry});
      } else {
        answer.update({{"success", false},
                       {"status", "not_granted"},
                       {"reason", "not_granted"},
                       {"next_step", "none"}});
      }
      finish(answer, user_id, settings(schema), now);
    }
  }
  return jsonb_datum(answer);
}
