// use_feature, release_feature: check and count in one step, under the lock of the window's row.
#include <algorithm>

#include "functions/credit_call.hpp"
#include "functions/credit_store.hpp"
#include "functions/entitlement_call.hpp"
#include "pg/spi.hpp"

using namespace billing;
using namespace billing::entitlements;
using credits::Answers;
using credits::Request;

namespace {

constexpr std::size_t kMaxText = 255;
constexpr int kMaxLooks = 8;

struct Call {
  std::string user_id;
  std::string feature;
  std::optional<std::int64_t> amount;  // none: of a release, whatever is left
  usage::Record record;
  std::optional<std::int64_t> record_id;  // what is released
  Request request;
};

Json metadata_option(const Json& options) {
  const Json& metadata = at(options, "metadata");
  if (metadata.is_null()) return Json::object();
  credits::check_metadata(metadata, to_text(metadata).size());
  return metadata;
}

Call call_from(FunctionCallInfo fcinfo, const Json& options) {
  Call call;
  call.user_id = user_argument(fcinfo, 0);
  call.feature = feature_argument(fcinfo, 1);
  call.record.idempotency_key = credits::optional_text_argument(fcinfo, 3, "idempotency_key", kMaxText);
  call.record.actor_id = credits::optional_text_argument(fcinfo, 4, "actor_id", kMaxText);
  call.record.metadata = metadata_option(options);
  return call;
}

void describe(Call& call, const char* operation) {
  call.request = {call.user_id,
                  operation,
                  call.record.idempotency_key,
                  {{"feature", call.feature},
                   {"amount", call.amount ? Json(*call.amount) : Json(nullptr)},
                   {"record_id", call.record_id ? Json(*call.record_id) : Json(nullptr)},
                   {"actor_id", call.record.actor_id},
                   {"metadata", call.record.metadata}}};
}

// Never before what is written already, whatever the clock does.
Instant now_after(const std::optional<usage::Row>& locked) {
  const Instant now = pg::from_timestamptz(GetCurrentTimestamp());
  return locked ? std::max(now, locked->updated_at) : now;
}

// What is given and counted, read after the lock of the row that it is counted in. Whoever counts locks the
// newest row first, so that windows are opened one at a time. Settings and plans are those of after the wait.
struct Judged {
  Asked asked;
  Entitlement entitlement;
  usage::Counter counter;
};
Judged judge_locked(const Call& call, Oid schema) {
  std::optional<usage::Row> locked = usage::lock_newest(call.user_id, call.feature);
  for (int looks = 0; looks < kMaxLooks; ++looks) {
    Asked asked(call.user_id, call.feature, settings(schema), now_after(locked));
    const Entitlement entitlement = asked.entitlement(call.feature);
    usage::Counter counter = asked.counter(entitlement);
    const bool counted = entitlement.given && is_counted(entitlement.feature);
    const bool is_locked = locked && locked->window.start == counter.window.start;
    if (is_locked) counter.used = locked->used;
    if (!counted || is_locked) return {std::move(asked), entitlement, counter};
    const Feature& feature = entitlement.feature;
    locked = usage::open(call.user_id, call.feature, counter.window,
                         feature.unlimited ? std::nullopt : std::optional(feature.limit), asked.now());
  }
  throw pg::SqlError(ERRCODE_T_R_SERIALIZATION_FAILURE,
                     "the windows of " + call.feature + " change faster than they can be locked",
                     "Run the transaction again.");
}

Json with_outcome(Json answer, bool success, const std::string& status) {
  answer["success"] = success;
  answer["status"] = status;
  return answer;
}

// Takes the credits that it costs; the refusal when there are not enough.
std::optional<Json> charge(const Call& call, std::int64_t cost, const Settings& settings, Answers* answers,
                           Json& answer) {
  credits::store::Accounts accounts;
  credits::Account* account = credits::lock_account(accounts, call.user_id, false, settings);
  // Where nothing is counted, the account's row is the lock that requests with the same key wait for.
  if (answers != nullptr) {
    *answers = Answers({&call.request});
    if (auto before = answers->find(call.request)) return before;
  }
  credits::Account none;
  none.user_id = call.user_id;
  if (account == nullptr) none.advance(pg::from_timestamptz(GetCurrentStatementStartTimestamp()));
  credits::Account& mine = account != nullptr ? *account : none;
  const credits::Access access =
      account != nullptr ? credits::access_for(mine, settings, mine.now()) : credits::Access{};
  if (mine.available(access) < cost) {
    const Json refused = credits::refuse_amount(mine, access, settings, cost);
    for (const char* key : {"status", "reason", "next_step"}) answer[key] = refused[key];
    answer["success"] = false;
    answer["allowed"] = false;
    answer["credits_required"] = cost;
    answer["credits_available"] = mine.available(access);
    return answer;
  }
  credits::Note note;
  note.description = call.feature;
  note.idempotency_key = call.record.idempotency_key;
  note.actor_id = call.record.actor_id;
  note.metadata = {{"feature", call.feature}, {"amount", *call.amount}};
  answer["transaction_id"] = mine.use(cost, access, note).id;
  answer["credits_charged"] = cost;
  answer["credits_available"] = mine.available(access);
  credits::store::save(mine);
  return std::nullopt;
}

const char* status_of(const CapVerdict& verdict) {
  if (verdict.reason == "over_limit") return "counted_over_limit";
  return verdict.reason == "overage" ? "counted_as_overage" : "counted";
}

Json use(Call& call, Oid schema) {
  const Judged judged = judge_locked(call, schema);
  Answers answers({&call.request});
  if (const auto before = answers.find(call.request)) return *before;
  const Feature& feature = judged.entitlement.feature;
  const std::int64_t amount = *call.amount;
  Json answer = judged.asked.answer(judged.entitlement, judged.counter, amount);
  answer["amount"] = amount;
  if (!judged.entitlement.given) return with_outcome(answer, false, "not_entitled");
  if (answer["allowed"] == false) return with_outcome(answer, false, "cap_exceeded");
  const bool counted = is_counted(feature);
  const std::int64_t cost = cost_of(feature, amount);
  if (cost > 0)
    if (const auto refused =
            charge(call, cost, judged.asked.settings(), counted ? nullptr : &answers, answer))
      return *refused;
  if (!counted && cost == 0) return with_outcome(answer, true, "allowed");
  answer = with_outcome(answer, true, counted ? "" : "charged");
  if (counted) {
    const CapVerdict verdict = judge_cap(feature, judged.counter.used, amount);
    usage::Record& record = call.record;
    record.amount = amount;
    if (cost > 0) record.transaction_id = answer["transaction_id"].get<std::int64_t>();
    const usage::Counted done =
        usage::count(call.user_id, call.feature, judged.counter.window, record, judged.asked.now());
    answer["status"] = status_of(verdict);
    answer["record_id"] = done.record_id;
    answer["used"] = done.used_after;
    if (const auto left = remaining_of(feature, done.used_after)) {
      answer["remaining"] = *left;
      answer["overage"] = verdict.beyond;
      answer["amount_over_limit"] = std::min(amount, verdict.beyond);
    }
  }
  answers.keep(call.request, answer);
  answers.save();
  return answer;
}

// The row that a release without a record is taken from, locked: the one that counts now, or, where nothing
// is given any more, the newest that is open.
std::optional<usage::Row> lock_for_release(const Call& call, Oid schema) {
  const std::optional<usage::Row> newest = usage::lock_newest(call.user_id, call.feature);
  if (!newest) return std::nullopt;
  const Asked asked(call.user_id, call.feature, settings(schema), now_after(newest));
  const Entitlement entitlement = asked.entitlement(call.feature);
  if (entitlement.given && is_counted(entitlement.feature)) {
    const Instant start = asked.counter(entitlement).window.start;
    return start == newest->window.start ? newest : usage::lock(call.user_id, call.feature, start);
  }
  return newest->window.contains(asked.now()) ? newest : std::nullopt;
}

usage::Use existing_use(const Call& call) {
  const std::optional<usage::Use> use = usage::find_use(call.user_id, *call.record_id);
  if (!use || use->feature != call.feature || use->amount < 0)
    throw pg::SqlError(
        ERRCODE_NO_DATA_FOUND,
        call.user_id + " has no use " + std::to_string(*call.record_id) + " of " + call.feature,
        "Use the record_id that use_feature() returned for this user and feature.");
  return *use;
}

Json release(Call& call, Oid schema) {
  std::optional<usage::Row> row;
  if (call.record_id)
    row = usage::lock(call.user_id, call.feature, existing_use(call).window_start);
  else
    row = lock_for_release(call, schema);
  Answers answers({&call.request});
  if (const auto before = answers.find(call.request)) return *before;
  const Settings& rules = settings(schema);
  const Asked asked(call.user_id, call.feature, rules, now_after(row));
  const Entitlement entitlement = asked.entitlement(call.feature);
  const std::int64_t used = row ? row->used : 0;
  // What others released meanwhile is seen under the lock.
  const std::int64_t left = call.record_id ? std::min(existing_use(call).left, used) : used;
  const std::int64_t amount = call.amount.value_or(call.record_id ? left : 1);
  const auto describe_answer = [&] {
    Json answer = asked.answer(entitlement, asked.counter(entitlement), 0);
    answer["amount"] = amount;
    answer["releasable"] = left;
    return answer;
  };
  if (amount > left || amount == 0) {
    Json answer = with_outcome(describe_answer(), false, left == 0 ? "nothing_to_release" : "exceeds_use");
    answer["reason"] = left == 0 ? "nothing_used" : "more_than_was_used";
    answer["next_step"] = "none";
    return answer;
  }
  call.record.amount = -amount;
  call.record.refers_to = call.record_id;
  const usage::Counted done = usage::count(call.user_id, call.feature, row->window, call.record, asked.now());
  const Asked after(call.user_id, call.feature, rules, now_after(row));
  Json answer = with_outcome(after.answer(entitlement, after.counter(entitlement), 0), true, "released");
  answer["amount"] = amount;
  answer["releasable"] = left - amount;
  answer["record_id"] = done.record_id;
  answers.keep(call.request, answer);
  answers.save();
  return answer;
}

std::optional<std::int64_t> record_option(const Json& options) {
  const Json& value = at(options, "record_id");
  if (value.is_null()) return std::nullopt;
  const std::optional<std::int64_t> id =
      value.is_number_integer() ? integer_of(options, "record_id") : std::nullopt;
  if (!id)
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                       "option \"record_id\" must be a whole number, not " + excerpt(value),
                       "Use the record_id that use_feature() returned.");
  return id;
}

}  // namespace

PG_BILLING_FUNCTION(use_feature) {
  Call call = call_from(fcinfo, options_argument(fcinfo, 5, {"metadata"}));
  call.amount = count_argument(fcinfo, 2, "amount", 1);
  describe(call, "use_feature");
  const Oid schema = pg::function_schema(fcinfo);
  Json answer;
  {
    pg::Session session(schema, pg::Session::Access::read_write);
    answer = use(call, schema);
  }
  return jsonb_datum(answer);
}

PG_BILLING_FUNCTION(release_feature) {
  const Json options = options_argument(fcinfo, 5, {"record_id", "metadata"});
  Call call = call_from(fcinfo, options);
  call.record_id = record_option(options);
  if (!PG_ARGISNULL(2)) call.amount = count_argument(fcinfo, 2, "amount", 1);
  describe(call, "release_feature");
  const Oid schema = pg::function_schema(fcinfo);
  Json answer;
  {
    pg::Session session(schema, pg::Session::Access::read_write);
    answer = release(call, schema);
  }
  return jsonb_datum(answer);
}
