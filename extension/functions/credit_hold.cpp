// hold_credits, capture_hold, release_hold: credits reserved while work is in progress.
#include <algorithm>

#include "functions/credit_call.hpp"
#include "functions/credit_store.hpp"
#include "pg/spi.hpp"

using namespace billing;
using namespace billing::credits;

namespace {

constexpr std::int64_t kMaxHoldSeconds = 30 * 86400;

Seconds duration_argument(FunctionCallInfo fcinfo, int index) {
  if (PG_ARGISNULL(index))
    throw pg::SqlError(ERRCODE_NULL_VALUE_NOT_ALLOWED, "expires_in must not be null",
                       "Leave it out for 15 minutes.");
  const Interval* interval = PG_GETARG_INTERVAL_P(index);
  const bool sensible = interval->month == 0 && interval->day >= 0 && interval->day <= 30;
  const std::int64_t seconds = sensible ? interval->day * INT64CONST(86400) + interval->time / 1'000'000 : 0;
  if (seconds < 1 || seconds > kMaxHoldSeconds)
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                       "expires_in is out of range: " + std::string(pg::guard([&]() -> const char* {
                         return DatumGetCString(DirectFunctionCall1(interval_out, PG_GETARG_DATUM(index)));
                       })),
                       "Use an interval from 1 second to 30 days: the longest that the work may take.");
  return seconds;
}

const char* name_of(Hold::Status status) {
  switch (status) {
    case Hold::Status::captured:
      return "hold_captured";
    case Hold::Status::released:
      return "hold_released";
    case Hold::Status::expired:
      return "hold_expired";
    case Hold::Status::open:
      break;
  }
  return "hold_open";
}

// The hold as it is now; one that does not exist is misuse.
Hold& existing_hold(Account* account, const std::string& user_id, std::int64_t hold_id) {
  if (account != nullptr && account->find_hold(hold_id) == nullptr) store::add_hold(*account, hold_id);
  Hold* hold = account != nullptr ? account->find_hold(hold_id) : nullptr;
  if (hold == nullptr)
    throw pg::SqlError(ERRCODE_NO_DATA_FOUND, user_id + " has no hold " + std::to_string(hold_id),
                       "Use the hold_id that hold_credits() returned for this user.");
  return *hold;
}

// A hold that is over: what became of it.
Json refuse_hold(const Hold& hold, const Account& account, const Access& access) {
  const bool expired = hold.status == Hold::Status::expired;
  Json answer = refusal(name_of(hold.status), name_of(hold.status), expired ? "use_credits" : "none");
  answer["hold_id"] = hold.id;
  answer["transaction_id"] = hold.transaction_id != 0 ? Json(hold.transaction_id) : Json(nullptr);
  answer["captured"] = hold.captured;
  add_balances(answer, account, access);
  return answer;
}

bool allow_more(const Json& options) {
  const Json& value = at(options, "allow_more");
  if (!value.is_null() && !value.is_boolean())
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                       "option \"allow_more\" must be true or false, not " + excerpt(value),
                       "true charges what exceeds the hold from what is available.");
  return value == Json(true);
}

Json capture(const Hold& hold, Account& account, std::optional<Amount> wanted, bool allow_more, Note note,
             const Settings& settings) {
  const Access access = access_now(account, settings);
  if (hold.status != Hold::Status::open) return refuse_hold(hold, account, access);
  const std::int64_t hold_id = hold.id;
  const Amount held = hold.amount;
  const Amount amount = wanted.value_or(held);
  Json answer;
  if (amount > held && !allow_more) {
    answer = refusal("exceeds_hold", "amount_above_hold", "capture_with_allow_more");
    answer["requested"] = amount;
    answer["amount"] = held;
  } else if (amount > held && amount - held > account.available(access)) {
    answer = refuse_amount(account, access, settings, amount - held, held);
  } else {
    if (note.description.empty()) note.description = hold.description;
    note.actor_id = hold.actor_id;
    note.metadata = hold.metadata;
    store::add_series_of(account, hold.lots);
    const Entry entry = account.capture(hold_id, amount, access, note);
    answer = {{"success", true},
              {"status", "captured"},
              {"transaction_id", entry.id},
              {"charged", amount},
              {"released", std::max<Amount>(held - amount, 0)},
              {"burns", burns_json(entry.burns)}};
  }
  answer["hold_id"] = hold_id;
  add_balances(answer, account, access);
  return answer;
}

}  // namespace

PG_BILLING_FUNCTION(hold_credits) {
  const std::string user_id = user_argument(fcinfo, 0);
  const Amount amount = amount_argument(fcinfo, 1, "amount");
  const Seconds duration = duration_argument(fcinfo, 2);
  Note note;
  note.description = optional_text_argument(fcinfo, 3, "description", 1000);
  note.idempotency_key = optional_text_argument(fcinfo, 4, "idempotency_key", 255);
  note.metadata = metadata_argument(fcinfo, 5);
  note.actor_id = optional_text_argument(fcinfo, 6, "actor_id", 255);
  const Request request{user_id,
                        "hold_credits",
                        note.idempotency_key,
                        {{"amount", amount},
                         {"expires_in", duration},
                         {"description", note.description},
                         {"metadata", note.metadata},
                         {"actor_id", note.actor_id}}};
  const Oid schema = pg::function_schema(fcinfo);
  Json answer;
  {
    pg::Session session(schema, pg::Session::Access::read_write);
    const Settings& rules = settings(schema);
    store::Accounts accounts;
    Account* account = lock_account(accounts, user_id, false, rules);
    Account none;
    none.user_id = user_id;
    Account& mine = account != nullptr ? *account : none;
    Answers answers({&request});
    const Access access = access_now(mine, rules);
    if (auto before = answers.find(request)) {
      answer = *before;
    } else if (mine.available(access) < amount) {
      answer = refuse_amount(mine, access, rules, amount);
      store::save(mine);
    } else {
      const Hold& hold = mine.hold(amount, mine.now() + instant(duration), access, note);
      answer = {{"success", true},
                {"status", "held"},
                {"hold_id", hold.id},
                {"amount", amount},
                {"expires_at", iso_time(hold.expires_at / 1'000'000)},
                {"reserved", burns_json(hold.lots)}};
      add_balances(answer, mine, access);
      store::save(mine);
      answers.keep(request, answer);
      answers.save();
    }
  }
  return jsonb_datum(answer);
}

PG_BILLING_FUNCTION(capture_hold) {
  const std::string user_id = user_argument(fcinfo, 0);
  const std::int64_t hold_id = id_argument(fcinfo, 1, "hold_id");
  std::optional<Amount> wanted;
  if (!PG_ARGISNULL(2)) wanted = amount_argument(fcinfo, 2, "amount");
  Note note;
  note.idempotency_key = optional_text_argument(fcinfo, 3, "idempotency_key", 255);
  const Json options = options_argument(fcinfo, 4, {"allow_more", "description"});
  const bool more = allow_more(options);
  if (const std::string text = text_option(options, "description"); !text.empty())
    note.description = bounded(text, "description", 1000);
  const Request request{
      user_id,
      "capture_hold",
      note.idempotency_key,
      {{"hold_id", hold_id}, {"amount", wanted ? Json(*wanted) : Json(nullptr)}, {"options", options}}};
  const Oid schema = pg::function_schema(fcinfo);
  Json answer;
  {
    pg::Session session(schema, pg::Session::Access::read_write);
    const Settings& rules = settings(schema);
    store::Accounts accounts;
    Account* account = lock_account(accounts, user_id, false, rules);
    Answers answers({&request});
    if (auto before = answers.find(request)) {
      answer = *before;
    } else {
      answer = capture(existing_hold(account, user_id, hold_id), *account, wanted, more, note, rules);
      if (answer["success"] == true) answers.keep(request, answer);
    }
    if (account != nullptr) store::save(*account);
    answers.save();
  }
  return jsonb_datum(answer);
}

PG_BILLING_FUNCTION(release_hold) {
  const std::string user_id = user_argument(fcinfo, 0);
  const std::int64_t hold_id = id_argument(fcinfo, 1, "hold_id");
  const Oid schema = pg::function_schema(fcinfo);
  Json answer;
  {
    pg::Session session(schema, pg::Session::Access::read_write);
    const Settings& rules = settings(schema);
    store::Accounts accounts;
    Account* account = lock_account(accounts, user_id, false, rules);
    Hold& hold = existing_hold(account, user_id, hold_id);
    const Access access = access_now(*account, rules);
    if (hold.status == Hold::Status::captured) {
      answer = refuse_hold(hold, *account, access);
      answer["next_step"] = "refund_credits";
    } else {
      // Again, or after it ended by itself: nothing is held, which is what was asked for.
      const bool open = hold.status == Hold::Status::open;
      store::add_series_of(*account, hold.lots);
      if (open) account->release(hold_id);
      answer = {{"success", true},
                {"status", open ? "released" : name_of(hold.status)},
                {"hold_id", hold_id},
                {"released", open ? hold.amount : 0}};
      add_balances(answer, *account, access);
    }
    store::save(*account);
  }
  return jsonb_datum(answer);
}
