// add_subscription_credits: an invoice's credits by hand, when its event was missed.
#include "core/credit_line.hpp"
#include "functions/audit.hpp"
#include "functions/credit_call.hpp"
#include "functions/credit_follow.hpp"
#include "functions/credit_store.hpp"
#include "functions/links.hpp"
#include "pg/spi.hpp"

using namespace billing;
using namespace billing::credits;

namespace {

pg::Statement grants_of_invoice(
    "SELECT g.grant_id FROM @credit_grants g WHERE g.user_id = $1 AND g.stripe_invoice_id = $2 ORDER BY "
    "g.grant_id");
pg::Statement subscription_row(
    "SELECT u.current_period_start, u.current_period_end, u.items -> 0 ->> 'id' FROM @user_subscriptions u"
    " WHERE u.user_id = $1 AND u.stripe_subscription_id = $2");

std::vector<std::int64_t> grants_of(const std::string& user_id, const std::string& invoice_id) {
  std::vector<std::int64_t> ids;
  const pg::Rows rows = grants_of_invoice.run(user_id, invoice_id);
  for (std::size_t i = 0; i < rows.size(); ++i) ids.push_back(rows.number(i, 0));
  return ids;
}

Lot manual_lot(const std::string& user_id, const std::string& invoice_id, const std::string& subscription_id,
               Amount amount, const Settings& settings) {
  Lot lot;
  lot.amount = amount;
  lot.category = "paid";
  lot.source = "manual";
  lot.key = follow::manual_key(invoice_id);
  lot.invoice_id = invoice_id;
  if (subscription_id.empty()) return lot;
  lot.requires_subscription = true;
  lot.subscription_id = subscription_id;
  const pg::Rows rows = subscription_row.run(user_id, subscription_id);
  if (rows.empty()) return lot;
  // As the invoice's own event would have it: the next period's grant follows it.
  lot.series = series_of(subscription_id, rows.text(0, 2));
  lot.cycle_start = rows.maybe_number(0, 0).value_or(0);
  if (!rows.null(0, 1))
    lot.expires_at = instant(later_by(*rows.maybe_seconds(0, 1), settings.access.renewal_slack));
  return lot;
}

}  // namespace

PG_BILLING_FUNCTION(add_subscription_credits) {
  const std::string customer = text_argument(fcinfo, 0, "stripe_customer_id");
  const std::string invoice = text_argument(fcinfo, 1, "invoice_id");
  const std::string subscription = optional_text_argument(fcinfo, 2, "subscription_id", 256);
  const Amount amount = amount_argument(fcinfo, 3, "credits");
  const std::string description = optional_text_argument(fcinfo, 4, "description", 1000);
  if (invoice.empty() || invoice.size() > 200)
    throw pg::SqlError(
        ERRCODE_INVALID_PARAMETER_VALUE, "not an invoice id: \"" + shorten(invoice) + "\"",
        "It starts with in_; the grant is kept under it, so that the invoice's own event grants nothing.");
  const Oid schema = pg::function_schema(fcinfo);
  Json answer;
  {
    pg::Session session(schema, pg::Session::Access::read_write);
    const Settings& rules = settings(schema);
    const std::optional<std::string> user_id = links::user_of(customer);
    if (!user_id)
      throw pg::SqlError(ERRCODE_NO_DATA_FOUND, customer + " has no user",
                         "Run SELECT link_stripe_customer('user_1','" + customer + "') first.");
    store::Accounts accounts;
    Account& account = *lock_account(accounts, *user_id, true, rules);
    if (const auto existing = grants_of(*user_id, invoice); !existing.empty()) {
      answer = {{"success", true}, {"status", "exists"}, {"invoice_id", invoice}, {"grant_ids", existing}};
      add_balances(answer, account, access_for(account, rules, account.now()));
    } else {
      Note note;
      note.description = description;
      note.metadata = {
          {"invoice_id", invoice}, {"subscription_id", subscription}, {"stripe_customer_id", customer}};
      Lot lot = manual_lot(*user_id, invoice, subscription, amount, rules);
      if (!lot.series.empty())
        store::add_series(accounts, store::PerUser<std::string>{{*user_id, lot.series}});
      answer = granted(account, std::move(lot), note, rules);
      answer["invoice_id"] = invoice;
      audit::Entry entry = audit::done_by_hand(*user_id, "credits_granted", invoice, description);
      entry.details = {{"amount", amount}, {"subscription_id", subscription}};
      audit::write({entry});
    }
    store::save(account);
  }
  return jsonb_datum(to_text(answer));
}
