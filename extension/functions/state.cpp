// get_user_subscription_state, has_active_subscription, require_subscription: readers, which never write.
#include "functions/arguments.hpp"
#include "functions/cache.hpp"
#include "functions/cached_row.hpp"
#include "functions/credit_state.hpp"
#include "pg/jsonb_member.hpp"
#include "pg/jsonb_object.hpp"
#include "pg/shared_memory.hpp"
#include "pg/spi.hpp"

using namespace billing;

namespace {

struct Question {
  std::string user_id;
  Oid schema;
  TimestampTz at;
  bool bypass;  // judged at another instant than now: the cache does not answer that
};

Question question(FunctionCallInfo fcinfo, bool with_instant) {
  Question q;
  q.user_id = user_argument(fcinfo, 0);
  q.schema = pg::function_schema(fcinfo);
  q.bypass = with_instant && !PG_ARGISNULL(1);
  q.at = q.bypass ? PG_GETARG_TIMESTAMPTZ(1) : GetCurrentStatementStartTimestamp();
  const bool sensible = !TIMESTAMP_NOT_FINITE(q.at) && q.at >= pg::to_timestamptz(0) &&
                        q.at <= pg::to_timestamptz(instant(kLastSecond));
  if (q.bypass && !sensible)
    throw pg::SqlError(
        ERRCODE_INVALID_PARAMETER_VALUE,
        "as_of is out of range: " + std::string(pg::guard([&] { return timestamptz_to_str(q.at); })),
        "Use a time from 1970 to 9999, or leave it out for the state now.");
  return q;
}

CachedRow look_up(const Question& q, const Settings& rules, bool want_state) {
  const auto part = want_state ? CachedRow::Part::state : CachedRow::Part::none;
  const char* user_id = q.user_id.data();
  const std::size_t length = q.user_id.size();
  const std::int64_t generation = rules.generation;
  // Filled in place: what guard() returns must be a scalar.
  CachedRow row;
  pg::guard([&] { row = find_cached_row(q.schema, user_id, length, q.at, generation, part); });
  return row;
}

pg::Statement read_cached(
    "SELECT c.state::text, c.has_access, c.frozen_time FROM @subscription_cache c WHERE c.user_id = $1 AND "
    "c.valid_from <= "
    "$2"
    " AND $2 < c.valid_until AND $2 < c.expires_at AND c.generation = $3");

struct Answer {
  bool has_access = false;
  Jsonb* stored = nullptr;  // the row's own jsonb
  Json made;                // or what was computed just now
  std::string text;         // or what was read through SPI
  std::string reason;
  std::string next_step;
  TimestampTz time = 0;  // the user's own
};

// `probed` is what the probe of the cache has found; null where nobody wants to know of the cache.
Answer compute(const Question& q, const Settings& rules, const CachedRow* probed) {
  Answer answer;
  answer.time = q.at;
  pg::Session session(q.schema, pg::Session::Access::read_only);
  const Instant now = pg::from_timestamptz(q.at);
  if (probed != nullptr) {
    if (probed->result == CachedRow::Result::unusable) {
      const pg::Rows rows = read_cached.run(q.user_id, pg::Time{now}, rules.generation);
      if (!rows.empty()) {
        answer.text = rows.text(0, 0);
        answer.has_access = rows.flag(0, 1);
        if (const auto frozen = rows.maybe_number(0, 2)) answer.time = pg::to_timestamptz(*frozen);
        pg::count_cache_hit();
        return answer;
      }
    }
    pg::count_cache_miss();
    pg::note_user(q.user_id.data(), q.user_id.size());
  }
  cache::Computed made =
      q.bypass ? cache::compute_at(q.user_id, rules, now) : cache::compute(q.user_id, rules, now);
  if (made.frozen_time) answer.time = pg::to_timestamptz(*made.frozen_time);
  answer.has_access = made.state.effective.has_access;
  answer.reason = made.state.effective.reason;
  answer.next_step = made.state.effective.next_step;
  answer.made = std::move(made.json);
  return answer;
}

Answer answer(const Question& q, bool want_state) {
  const Settings& rules = settings(q.schema);
  if (q.bypass) return compute(q, rules, nullptr);
  const CachedRow row = look_up(q, rules, want_state);
  if (row.result != CachedRow::Result::hit) return compute(q, rules, &row);
  pg::count_cache_hit();
  Answer hit;
  hit.has_access = row.has_access;
  hit.time = row.time;
  hit.stored = row.state;
  return hit;
}

// The cache holds no credits: every debit would rewrite it.
std::optional<credits::Balances> credits_now(const Question& q, const Answer& state, const Jsonb* jsonb) {
  const Settings& rules = settings(q.schema);
  if (!q.bypass)
    return credits::current_balances(q.schema, q.user_id, rules, {state.time, state.has_access, jsonb});
  pg::Session session(q.schema, pg::Session::Access::read_only);
  return credits::read_balances_at(q.user_id, rules, pg::from_timestamptz(q.at),
                                   pg::from_timestamptz(GetCurrentStatementStartTimestamp()));
}

Jsonb* jsonb_of(const Answer& answer) {
  if (answer.stored != nullptr) return answer.stored;
  // What these make is not toasted.
  const Datum made = answer.made.is_null() ? jsonb_datum(answer.text) : jsonb_datum(answer.made);
  return reinterpret_cast<Jsonb*>(DatumGetPointer(made));
}

// Every state has these members.
Datum with_credits(Jsonb* state, bool has_access, const credits::Balances& found) {
  return pg::guard([&] {
    const pg::Member members[] = {
        pg::Member::of("held", found.held), pg::Member::of("balance", found.balance),
        pg::Member::of("available", found.available), pg::Member::of("debt", found.debt)};
    Jsonb* made =
        pg::replace_object_member(state, "credits", pg::object_jsonb(members, found.debt > 0 ? 4 : 3));
    if (made == nullptr ||
        (!has_access && !pg::set_flag_member(made, "can_use_credits", found.usable_without_subscription)))
      ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg_internal("a stored state is without credits")));
    return JsonbPGetDatum(made);
  });
}

}  // namespace

PG_BILLING_FUNCTION(get_user_subscription_state) {
  const Question q = question(fcinfo, true);
  const Answer found = answer(q, true);
  Jsonb* state = jsonb_of(found);
  const std::optional<credits::Balances> credits = credits_now(q, found, state);
  return credits ? with_credits(state, found.has_access, *credits) : JsonbPGetDatum(state);
}

PG_BILLING_FUNCTION(has_active_subscription) {
  return BoolGetDatum(answer(question(fcinfo, false), false).has_access);
}

PG_BILLING_FUNCTION(require_subscription) {
  const Question q = question(fcinfo, false);
  if (answer(q, false).has_access) PG_RETURN_VOID();
  // The refusal says why, so it is worth a computation.
  const Answer refused = compute(q, settings(q.schema), nullptr);
  Json detail = {{"user_id", q.user_id}, {"reason", refused.reason}, {"next_step", refused.next_step}};
  throw pg::SqlError(MAKE_SQLSTATE('P', 'T', '4', '0', '2'),
                     "subscription required: " + q.user_id + " has no access (" + refused.reason + ")",
                     "Next step: " + (refused.next_step.empty() ? "explain_user" : refused.next_step) + ".",
                     to_text(detail));
}
