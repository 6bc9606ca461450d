// refund_credits: a job that failed gives back exactly what it took.
#include <algorithm>

#include "functions/audit.hpp"
#include "functions/credit_call.hpp"
#include "functions/credit_store.hpp"
#include "pg/spi.hpp"

using namespace billing;
using namespace billing::credits;

namespace {

pg::Statement find_entry(
    "SELECT transaction_type, -amount FROM @credit_transactions WHERE user_id = $1 AND transaction_id = $2");
// What the debit took of each lot and what of that has come back, last burnt first.
pg::Statement find_burns(
    "SELECT b.grant_id, b.amount, coalesce((SELECT sum(-r.amount) FROM @credit_transactions t"
    "   JOIN @credit_burns r ON r.user_id = t.user_id AND r.transaction_id = t.transaction_id"
    "  WHERE t.user_id = b.user_id AND t.refers_to = b.transaction_id AND r.grant_id = b.grant_id), "
    "0)::bigint"
    " FROM @credit_burns b WHERE b.user_id = $1 AND b.transaction_id = $2 ORDER BY b.position DESC");

struct Debit {
  std::vector<Burn> left;  // what can still come back, last burnt first
  Amount taken = 0;
  Amount refundable = 0;
};

Debit find_debit(const std::string& user_id, std::int64_t id) {
  const pg::Rows rows = find_entry.run(user_id, id);
  if (rows.empty())
    throw pg::SqlError(ERRCODE_NO_DATA_FOUND, user_id + " has no transaction " + std::to_string(id),
                       "Use the transaction_id of the answer that charged this user.");
  if (rows.view(0, 0) != "usage")
    throw pg::SqlError(
        ERRCODE_INVALID_PARAMETER_VALUE,
        "transaction " + std::to_string(id) + " of " + user_id + " is of type " + rows.text(0, 0),
        "Only a usage can be refunded.");
  Debit debit;
  debit.taken = rows.number(0, 1);
  const pg::Rows burns = find_burns.run(user_id, id);
  for (std::size_t i = 0; i < burns.size(); ++i) {
    const Amount left = burns.number(i, 1) - burns.number(i, 2);
    if (left == 0) continue;
    debit.left.push_back({burns.number(i, 0), left});
    debit.refundable += left;
  }
  return debit;
}

void load_lots(store::Accounts& accounts, const std::string& user_id, const std::vector<Burn>& burns) {
  store::PerUser<std::int64_t> lots;
  for (const Burn& burn : burns) lots.insert({user_id, burn.lot_id});
  store::add_lots(accounts, lots);
  store::add_series_of(accounts.at(user_id), burns);
}

Json refund(store::Accounts& accounts, const std::string& user_id, std::int64_t id,
            std::optional<Amount> wanted, const Note& note, const Settings& settings) {
  Account& account = accounts.at(user_id);
  const Debit debit = find_debit(user_id, id);
  const Amount amount = wanted.value_or(debit.refundable);
  Json answer;
  if (debit.refundable == 0) {
    answer = refusal("already_refunded", "already_refunded", "none");
  } else if (amount > debit.refundable) {
    answer = refusal("exceeds_debit", "more_than_was_charged", "refund_at_most_refundable");
  } else {
    std::vector<Burn> burns;
    Amount left = amount;
    for (const Burn& burn : debit.left) {
      const Amount part = std::min(left, burn.amount);
      if (part > 0) burns.push_back({burn.lot_id, part});
      left -= part;
    }
    load_lots(accounts, user_id, burns);
    const Account::Restored restored = account.refund(id, burns, note);
    answer = {{"success", true},    {"status", "refunded"},      {"transaction_id", restored.entry_id},
              {"refunded", amount}, {"lapsed", restored.lapsed}, {"restored", burns_json(burns)}};
  }
  answer["refunds"] = id;
  answer["charged"] = debit.taken;
  answer["refundable"] = debit.refundable - (answer["success"] == true ? amount : 0);
  add_balances(answer, account, access_now(account, settings));
  return answer;
}

}  // namespace

PG_BILLING_FUNCTION(refund_credits) {
  const std::string user_id = user_argument(fcinfo, 0);
  const std::int64_t id = id_argument(fcinfo, 1, "transaction_id");
  std::optional<Amount> wanted;
  if (!PG_ARGISNULL(2)) wanted = amount_argument(fcinfo, 2, "amount");
  Note note;
  note.description = optional_text_argument(fcinfo, 3, "description", 1000);
  note.idempotency_key = optional_text_argument(fcinfo, 4, "idempotency_key", 255);
  note.metadata = metadata_argument(fcinfo, 5);
  note.actor_id = optional_text_argument(fcinfo, 6, "actor_id", 255);
  const Request request{user_id,
                        "refund_credits",
                        note.idempotency_key,
                        {{"transaction_id", id},
                         {"amount", wanted ? Json(*wanted) : Json(nullptr)},
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
    Answers answers({&request});
    if (auto before = answers.find(request)) {
      answer = *before;
    } else {
      if (account == nullptr) find_debit(user_id, id);  // raises: there is none
      answer = refund(accounts, user_id, id, wanted, note, rules);
      if (answer["success"] == true) {
        audit::Entry entry = audit::done_by_hand(user_id, "credits_refunded",
                                                 "transaction:" + std::to_string(id), note.description);
        entry.details = {{"refunded", answer["refunded"]}, {"lapsed", answer["lapsed"]}};
        audit::write({entry});
        answers.keep(request, answer);
      }
      store::save(accounts);
      answers.save();
    }
  }
  return jsonb_datum(answer);
}
