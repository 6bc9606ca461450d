#include "functions/credit_state.hpp"

#include <algorithm>

#include "functions/credit_call.hpp"
#include "functions/credit_store.hpp"
#include "functions/stored_access.hpp"
#include "functions/test_clocks.hpp"
#include "functions/user_row.hpp"
#include "pg/spi.hpp"

namespace billing::credits {

namespace {

// Positions in CREATE TABLE credit_accounts.
enum Column {
  kUserId = 1,
  kBalance,
  kHeld,
  kDebt,
  kSubscriptionCredits,
  kNextDueAt,
  kSubscriptionCreditsOf = 14
};

struct AccountRow {
  Amount balance = 0;
  Amount held = 0;
  Amount debt = 0;
  Amount subscription_credits = 0;
  TimestampTz next_due_at = 0;
  // What of subscription_credits can be used.
  enum class Coverage { all, none, unknown } coverage = Coverage::unknown;
};

// Entries count from effective_at: what lapsed before it was written lapsed then.
pg::Statement lots_then(
    "SELECT x.grant_id, sum(x.amount)::bigint, g.requires_subscription, g.stripe_subscription_id"
    " FROM (SELECT t.grant_id, t.amount FROM @credit_transactions t"
    "   WHERE t.user_id = $1 AND t.effective_at <= $2 AND t.grant_id IS NOT NULL"
    "  UNION ALL SELECT b.grant_id, -b.amount FROM @credit_transactions t JOIN @credit_burns b"
    "   ON b.user_id = t.user_id AND b.transaction_id = t.transaction_id"
    "   WHERE t.user_id = $1 AND t.effective_at <= $2) x"
    " JOIN @credit_grants g ON g.user_id = $1 AND g.grant_id = x.grant_id"
    " GROUP BY x.grant_id, g.requires_subscription, g.stripe_subscription_id");
pg::Statement holds_then(
    "SELECT h.amount, h.lots::text FROM @credit_holds h WHERE h.user_id = $1 AND h.created_at <= $2"
    " AND $2 < coalesce(h.closed_at, h.expires_at)");
pg::Statement debt_then(
    "SELECT coalesce(sum(t.debt_change), 0)::bigint FROM @credit_transactions t"
    " WHERE t.user_id = $1 AND t.effective_at <= $2");

Balances balances_of(const Account& account, const Settings& settings, Instant at) {
  const Access access = access_for(account, settings, at);
  Balances balances{account.balance, account.held, account.available(access), account.debt, false};
  balances.usable_without_subscription = account.available(Access{}) > 0;
  return balances;
}

Account account_then(const std::string& user_id, Instant at) {
  Account account;
  account.user_id = user_id;
  account.advance(at);
  const pg::Rows lots = lots_then.run(user_id, pg::Time{at});
  for (std::size_t i = 0; i < lots.size(); ++i) {
    Lot lot;
    lot.id = lots.number(i, 0);
    lot.remaining = lots.number(i, 1);
    lot.requires_subscription = lots.flag(i, 2);
    lot.subscription_id = lots.text(i, 3);
    lot.started = true;
    account.balance += lot.remaining;
    account.lots.push_back(std::move(lot));
  }
  const pg::Rows holds = holds_then.run(user_id, pg::Time{at});
  for (std::size_t i = 0; i < holds.size(); ++i) {
    account.held += holds.number(i, 0);
    for (const Json& line : parse_json(holds.view(i, 1)))
      if (Lot* lot = account.find_lot(line.at(0).get<std::int64_t>())) lot->held += line.at(1).get<Amount>();
  }
  account.debt = debt_then.run(user_id, pg::Time{at}).number(0, 0);
  return account;
}

}  // namespace

namespace {

Balances read_balances(const std::string& user_id, const Settings& settings, Instant at, Instant now) {
  store::Accounts accounts = store::read({user_id}, at);
  const auto found = accounts.find(user_id);
  if (found == accounts.end()) return {};
  Account& account = found->second;
  // When something has been due by then, nothing was written since, and the rows tell it all.
  if (at >= now || account.next_due() <= at) {
    account.advance(at);
    return balances_of(account, settings, at);
  }
  return balances_of(account_then(user_id, at), settings, at);
}

}  // namespace

Balances read_balances(const std::string& user_id, const Settings& settings, Instant now) {
  return read_balances(user_id, settings, now, now);
}

Balances read_balances_at(const std::string& user_id, const Settings& settings, Instant as_of, Instant now) {
  Settings then = settings;
  then.access = settings.access.without_clocks();
  return read_balances(user_id, then, as_of, test_clocks::time_of(user_id, settings.access, now));
}

namespace {

UserTable account_table{pg::KnownRelation("credit_accounts"), pg::KnownRelation("credit_accounts_pkey")};

// Whether a stored state says that this subscription gives access. Called under guard().
bool gives_access(const Jsonb* state, const char* id, int size) {
  int count = 0;
  const StoredSubscription* all = stored_subscriptions(state, &count);
  for (int i = 0; i < count; ++i)
    if (all[i].size == size && std::memcmp(all[i].id, id, static_cast<std::size_t>(size)) == 0)
      return all[i].has_access;
  return false;
}

// Without access there is none. Called under guard().
AccountRow::Coverage coverage_of(Amount credits, text* subscription, const Standing& standing) {
  using Coverage = AccountRow::Coverage;
  if (credits == 0) return Coverage::all;
  if (!standing.has_access) return Coverage::none;
  if (subscription == nullptr) return Coverage::unknown;
  const int size = static_cast<int>(VARSIZE_ANY_EXHDR(subscription));
  if (size == 0) return Coverage::all;
  return gives_access(standing.state, VARDATA_ANY(subscription), size) ? Coverage::all : Coverage::none;
}

}  // namespace

std::optional<Balances> current_balances(Oid schema, const std::string& user_id, const Settings& settings,
                                         const Standing& standing) {
  AccountRow row;
  const char* name = user_id.data();
  const std::size_t length = user_id.size();
  const auto read = [&](TupleTableSlot* slot) {
    bool null = false;
    row.balance = DatumGetInt64(slot_getattr(slot, kBalance, &null));
    row.held = DatumGetInt64(slot_getattr(slot, kHeld, &null));
    row.debt = DatumGetInt64(slot_getattr(slot, kDebt, &null));
    row.subscription_credits = DatumGetInt64(slot_getattr(slot, kSubscriptionCredits, &null));
    row.next_due_at = DatumGetTimestampTz(slot_getattr(slot, kNextDueAt, &null));
    const Datum of = slot_getattr(slot, kSubscriptionCreditsOf, &null);
    row.coverage = coverage_of(row.subscription_credits, null ? nullptr : DatumGetTextPP(of), standing);
    return false;
  };
  const Probe probe = static_cast<Probe>(pg::guard(
      [&] { return static_cast<int>(probe_user_rows(schema, account_table, name, length, read)); }));
  if (probe == Probe::missing) return std::nullopt;
  if (probe == Probe::found && standing.now < row.next_due_at &&
      row.coverage != AccountRow::Coverage::unknown) {
    const Amount unusable = row.coverage == AccountRow::Coverage::none ? row.subscription_credits : 0;
    const Amount available = row.debt > 0 ? 0 : row.balance - row.held - unusable;
    return Balances{row.balance, row.held, available, row.debt, available > 0};
  }
  pg::Session session(schema, pg::Session::Access::read_only);
  return read_balances(user_id, settings, pg::from_timestamptz(standing.now));
}

}  // namespace billing::credits

using namespace billing;
using namespace billing::credits;

PG_BILLING_FUNCTION(get_credit_balance) {
  const std::string user_id = user_argument(fcinfo, 0);
  const std::optional<Instant> as_of = time_argument(fcinfo, 1, "as_of");
  const Oid schema = pg::function_schema(fcinfo);
  const Instant now = pg::from_timestamptz(GetCurrentStatementStartTimestamp());
  Balances found;
  {
    pg::Session session(schema, pg::Session::Access::read_only);
    const Settings& rules = settings(schema);
    found = as_of ? read_balances_at(user_id, rules, *as_of, now)
                  : read_balances(user_id, rules, test_clocks::time_of(user_id, rules.access, now));
  }
  return jsonb_datum(to_text({{"balance", found.balance},
                              {"held", found.held},
                              {"available", found.available},
                              {"debt", found.debt}}));
}

PG_BILLING_FUNCTION(expire_credits) {
  const int limit = limit_argument(fcinfo, 0, "max_rows", 100000);
  static pg::Statement due(
      "SELECT a.user_id FROM @credit_accounts a WHERE a.next_due_at <= now() ORDER BY a.next_due_at LIMIT "
      "$1");
  const Oid schema = pg::function_schema(fcinfo);
  int tidied = 0;
  {
    pg::Session session(schema, pg::Session::Access::read_write);
    const pg::Rows rows = due.run(limit);
    std::set<std::string> users;
    for (std::size_t i = 0; i < rows.size(); ++i) users.insert(rows.text(i, 0));
    store::Accounts accounts = store::lock(users, false, false, settings(schema));
    for (auto& [user, account] : accounts) store::advance(account);
    store::save(accounts);
    tidied = static_cast<int>(accounts.size());
  }
  PG_RETURN_INT32(tidied);
}
