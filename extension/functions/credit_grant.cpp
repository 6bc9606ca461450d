// grant_credits, void_grant: credits given, and taken, by hand.
#include "functions/audit.hpp"
#include "functions/credit_call.hpp"
#include "functions/credit_store.hpp"
#include "functions/links.hpp"
#include "pg/spi.hpp"

using namespace billing;
using namespace billing::credits;

namespace {

std::string category_argument(FunctionCallInfo fcinfo, int index) {
  std::string category = text_argument(fcinfo, index, "category");
  if (category != "paid" && category != "promotional")
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "unknown category \"" + shorten(category) + "\"",
                       "Use 'paid' or 'promotional'.");
  return category;
}

int priority_argument(FunctionCallInfo fcinfo, int index) {
  const int priority = PG_ARGISNULL(index) ? -1 : PG_GETARG_INT32(index);
  if (priority < 0 || priority > 1000)
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                       "priority must be from 0 to 1000, not " +
                           (PG_ARGISNULL(index) ? std::string("null") : std::to_string(priority)),
                       "Lower is burnt first; the default is 50.");
  return priority;
}

// Only of a new request: one that is repeated after its grant has ended gets its answer.
void check_period(const Lot& lot) {
  if (lot.expires_at &&
      *lot.expires_at <= std::max(lot.effective_at, pg::from_timestamptz(GetCurrentTimestamp())))
    throw pg::SqlError(
        ERRCODE_INVALID_PARAMETER_VALUE,
        "expires_at " + iso_time(*lot.expires_at / 1'000'000) + " is not after effective_at, or past",
        "It is exclusive: nothing could ever be used.");
}

}  // namespace

PG_BILLING_FUNCTION(grant_credits) {
  const std::string user_id = user_argument(fcinfo, 0);
  Lot lot;
  lot.amount = amount_argument(fcinfo, 1, "amount");
  lot.category = category_argument(fcinfo, 2);
  lot.priority = priority_argument(fcinfo, 3);
  lot.effective_at = time_argument(fcinfo, 4, "effective_at").value_or(0);
  lot.expires_at = time_argument(fcinfo, 5, "expires_at");
  lot.source = bounded(text_argument(fcinfo, 6, "source"), "source", 64);
  Note note;
  note.idempotency_key = optional_text_argument(fcinfo, 7, "idempotency_key", 255);
  note.metadata = metadata_argument(fcinfo, 8);
  lot.requires_subscription = !PG_ARGISNULL(9) && PG_GETARG_BOOL(9);
  note.description = optional_text_argument(fcinfo, 10, "reason", 1000);
  const Request request{user_id,
                        "grant_credits",
                        note.idempotency_key,
                        {{"amount", lot.amount},
                         {"category", lot.category},
                         {"priority", lot.priority},
                         {"effective_at", lot.effective_at},
                         {"expires_at", lot.expires_at ? Json(*lot.expires_at) : Json(nullptr)},
                         {"source", lot.source},
                         {"metadata", note.metadata},
                         {"requires_subscription", lot.requires_subscription},
                         {"description", note.description}}};
  const Oid schema = pg::function_schema(fcinfo);
  Json answer;
  {
    pg::Session session(schema, pg::Session::Access::read_write);
    const Settings& rules = settings(schema);
    links::ensure_user(user_id);
    store::Accounts accounts;
    Account& account = *lock_account(accounts, user_id, true, rules);
    Answers answers({&request});
    if (auto before = answers.find(request)) {
      answer = *before;
    } else {
      check_period(lot);
      answer = granted(account, std::move(lot), note, rules);
      audit::Entry entry = audit::done_by_hand(
          user_id, "credits_granted", "grant:" + std::to_string(answer["grant_id"].get<std::int64_t>()),
          note.description);
      entry.details = {{"amount", answer["amount"]}, {"expires_at", answer["expires_at"]}};
      audit::write({entry});
      store::save(account);
      answers.keep(request, answer);
      answers.save();
    }
  }
  return jsonb_datum(answer);
}

PG_BILLING_FUNCTION(void_grant) {
  const std::string user_id = user_argument(fcinfo, 0);
  const std::int64_t grant_id = id_argument(fcinfo, 1, "grant_id");
  const std::string reason = optional_text_argument(fcinfo, 2, "reason", 1000);
  const Oid schema = pg::function_schema(fcinfo);
  Json answer;
  {
    pg::Session session(schema, pg::Session::Access::read_write);
    const Settings& rules = settings(schema);
    store::Accounts accounts;
    Account* account = lock_account(accounts, user_id, false, rules);
    if (account != nullptr) store::add_lots(accounts, store::PerUser<std::int64_t>{{user_id, grant_id}});
    Lot* lot = account != nullptr ? account->find_lot(grant_id) : nullptr;
    if (lot == nullptr)
      throw pg::SqlError(ERRCODE_NO_DATA_FOUND, user_id + " has no grant " + std::to_string(grant_id),
                         "SELECT grant_id FROM credit_grants WHERE user_id = '" + user_id + "' lists them.");
    if (lot->voided) {
      answer = {{"success", true}, {"status", "exists"}, {"taken", 0}};
    } else {
      Note note;
      note.description = reason;
      const Amount taken = account->void_lot(grant_id, note);
      answer = {{"success", true}, {"status", "voided"}, {"taken", taken}};
      audit::Entry entry =
          audit::done_by_hand(user_id, "grant_voided", "grant:" + std::to_string(grant_id), reason);
      entry.details = {{"taken", taken}, {"spent", lot->spent}};
      audit::write({entry});
    }
    answer["grant_id"] = grant_id;
    answer["spent"] = lot->spent;
    answer["held_back"] = lot->held;
    add_balances(answer, *account, access_for(*account, rules, account->now()));
    store::save(*account);
  }
  return jsonb_datum(answer);
}
