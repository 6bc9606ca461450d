#include "functions/credit_store.hpp"

#include <algorithm>

#include "core/credit_alarm.hpp"
#include "functions/test_clocks.hpp"
#include "pg/row_reader.hpp"
#include "pg/spi.hpp"

namespace billing::credits::store {

namespace {

#define ACCOUNT_COLUMNS                                                                                  \
  "SELECT a.user_id, a.balance, a.held, a.debt, a.next_due_at, a.last_transaction_id, a.last_grant_id, " \
  "a.last_hold_id, a.last_entry_at, a.low_told, array_to_string(a.low_thresholds, ',')"                  \
  " FROM @credit_accounts a WHERE a.user_id = "
pg::Statement read_accounts(ACCOUNT_COLUMNS "ANY ($1)");
pg::Statement lock_account(ACCOUNT_COLUMNS "$1 FOR NO KEY UPDATE");
pg::Statement lock_accounts(ACCOUNT_COLUMNS "ANY ($1) ORDER BY a.user_id FOR NO KEY UPDATE");
pg::Statement lock_free_accounts(ACCOUNT_COLUMNS "ANY ($1) ORDER BY a.user_id FOR NO KEY UPDATE SKIP LOCKED");
#undef ACCOUNT_COLUMNS
// The same columns.
pg::RowReader account_of(
    "credit_accounts", "credit_accounts_pkey",
    "user_id balance held debt next_due_at last_transaction_id last_grant_id last_hold_id "
    "last_entry_at low_told low_thresholds");
pg::Statement known_accounts("SELECT a.user_id FROM @credit_accounts a WHERE a.user_id = ANY ($1)");
pg::Statement insert_accounts(
    "INSERT INTO @credit_accounts (user_id) SELECT u.id FROM unnest($1) u(id) ORDER BY u.id COLLATE \"C\""
    " ON CONFLICT DO NOTHING");

#define LOT_COLUMNS                                                                                   \
  "SELECT g.user_id, g.grant_id, g.amount, g.remaining, g.held, g.spent, g.lapsed, g.reversed, "      \
  "g.reversal_target, g.reversal_debt, g.started, g.voided, g.category, g.priority, g.effective_at, " \
  "g.expires_at, g.requires_subscription, g.stripe_subscription_id, g.source, g.grant_key, "          \
  "g.stripe_invoice_id, g.series, g.cycle_start, g.rollover, g.description, "                         \
  "g.metadata, "                                                                                      \
  "g.created_at"
pg::Statement live_lots(LOT_COLUMNS " FROM @credit_grants g WHERE g.user_id = ANY ($1) AND g.live");
// The same columns. Only live lots are in the index.
pg::RowReader live_lots_of(
    "credit_grants", "credit_grants_live_idx",
    "user_id grant_id amount remaining held spent lapsed reversed reversal_target reversal_debt started "
    "voided "
    "category priority effective_at expires_at requires_subscription stripe_subscription_id source grant_key "
    "stripe_invoice_id series cycle_start rollover description metadata created_at");
pg::Statement lots_by_id(LOT_COLUMNS
                         " FROM unnest($1, $2) k(user_id, id) JOIN @credit_grants g"
                         "  ON g.user_id = k.user_id AND g.grant_id = k.id");
pg::Statement lots_by_series(LOT_COLUMNS
                             " FROM unnest($1, $2) k(user_id, series) JOIN @credit_grants g"
                             "  ON g.user_id = k.user_id AND g.series = k.series");
#undef LOT_COLUMNS

#define HOLD_COLUMNS                                                                              \
  "SELECT h.user_id, h.hold_id, h.amount, h.status, h.captured, h.transaction_id, h.lots::text, " \
  "h.actor_id, h.description, h.metadata::text, h.created_at, h.expires_at, h.closed_at"          \
  " FROM @credit_holds h "
pg::Statement open_holds(HOLD_COLUMNS "WHERE h.user_id = ANY ($1) AND h.status = 'open' ORDER BY h.hold_id");
pg::Statement hold_by_id(HOLD_COLUMNS "WHERE h.user_id = $1 AND h.hold_id = $2");
#undef HOLD_COLUMNS

// One that another transaction holds is waited for.
pg::Rows lock_one(const std::string& user_id) {
  return account_of.lockable() ? account_of.find_locked({pg::parameter(user_id)}) : lock_account.run(user_id);
}

Account account_from(const pg::Rows& rows, std::size_t i) {
  Account account;
  account.user_id = rows.text(i, 0);
  account.balance = rows.number(i, 1);
  account.held = rows.number(i, 2);
  account.debt = rows.number(i, 3);
  account.due_at_load = rows.number(i, 4);
  account.last_entry_id = rows.number(i, 5);
  account.last_lot_id = rows.number(i, 6);
  account.last_hold_id = rows.number(i, 7);
  account.last_entry_at = rows.number(i, 8);
  account.balance_at_load = account.balance;
  account.low_told = rows.maybe_number(i, 9);
  if (!rows.null(i, 10)) account.low_thresholds = parse_thresholds(rows.view(i, 10));
  account.holds_known = account.held == 0;
  return account;
}

Lot lot_from(const pg::Rows& rows, std::size_t i) {
  Lot lot;
  lot.id = rows.number(i, 1);
  lot.amount = rows.number(i, 2);
  lot.remaining = rows.number(i, 3);
  lot.held = rows.number(i, 4);
  lot.spent = rows.number(i, 5);
  lot.lapsed = rows.number(i, 6);
  lot.reversed = rows.number(i, 7);
  lot.reversal_target = rows.number(i, 8);
  lot.reversal_debt = rows.number(i, 9);
  lot.started = rows.flag(i, 10);
  lot.voided = rows.flag(i, 11);
  lot.category = rows.text(i, 12);
  lot.priority = static_cast<int>(rows.number(i, 13));
  lot.effective_at = rows.number(i, 14);
  lot.expires_at = rows.maybe_number(i, 15);
  lot.requires_subscription = rows.flag(i, 16);
  lot.subscription_id = rows.text(i, 17);
  lot.source = rows.text(i, 18);
  lot.key = rows.text(i, 19);
  lot.invoice_id = rows.text(i, 20);
  lot.series = rows.text(i, 21);
  lot.cycle_start = rows.maybe_number(i, 22).value_or(0);
  if (rows.null(i, 23))
    lot.rollover.kind = Rollover::Kind::all;
  else if (rows.number(i, 23) > 0)
    lot.rollover = {Rollover::Kind::limited, rows.number(i, 23)};
  lot.description = rows.text(i, 24);
  lot.metadata = rows.document(i, 25);
  lot.created_at = rows.number(i, 26);
  return lot;
}

Hold hold_from(const pg::Rows& rows, std::size_t i) {
  Hold hold;
  hold.id = rows.number(i, 1);
  hold.amount = rows.number(i, 2);
  const std::string_view status = rows.view(i, 3);
  hold.status = status == "open"       ? Hold::Status::open
                : status == "captured" ? Hold::Status::captured
                : status == "released" ? Hold::Status::released
                                       : Hold::Status::expired;
  hold.captured = rows.number(i, 4);
  hold.transaction_id = rows.maybe_number(i, 5).value_or(0);
  for (const Json& line : parse_json(rows.view(i, 6)))
    hold.lots.push_back({line.at(0).get<std::int64_t>(), line.at(1).get<Amount>()});
  hold.actor_id = rows.text(i, 7);
  hold.description = rows.text(i, 8);
  hold.metadata = parse_json(rows.view(i, 9));
  hold.created_at = rows.number(i, 10);
  hold.expires_at = rows.number(i, 11);
  hold.closed_at = rows.maybe_number(i, 12);
  return hold;
}

void add(Account& account, const pg::Rows& lots) {
  for (std::size_t i = 0; i < lots.size(); ++i)
    if (account.find_lot(lots.number(i, 1)) == nullptr) account.lots.push_back(lot_from(lots, i));
}

void add(Accounts& accounts, const pg::Rows& lots) {
  for (std::size_t i = 0; i < lots.size(); ++i) {
    const auto found = accounts.find(lots.text(i, 0));
    if (found != accounts.end() && found->second.find_lot(lots.number(i, 1)) == nullptr)
      found->second.lots.push_back(lot_from(lots, i));
  }
}

// When something of a series is due, what is spent out of it matters too: the newest lot decides over the
// rest.
void add_series(Account& account, std::set<std::string> series) {
  series.erase("");
  if (series.empty()) return;
  const pg::Texts names(series.begin(), series.end());
  add(account, lots_by_series.run(pg::Texts(names.size(), account.user_id), names));
}

void add_live_series(Account& account) {
  std::set<std::string> series;
  for (const Lot& lot : account.lots) series.insert(lot.series);
  add_series(account, std::move(series));
}

void add_holds(Accounts& accounts, const pg::Rows& holds) {
  for (std::size_t i = 0; i < holds.size(); ++i) {
    const auto found = accounts.find(holds.text(i, 0));
    if (found != accounts.end() && found->second.find_hold(holds.number(i, 1)) == nullptr)
      found->second.holds.push_back(hold_from(holds, i));
  }
}

void add_open_holds(Accounts& accounts) {
  std::set<std::string> holding;
  for (auto& [user, account] : accounts)
    if (!account.holds_known) holding.insert(user);
  if (holding.empty()) return;
  add_holds(accounts, open_holds.run(pg::texts(holding)));
  for (const std::string& user : holding) accounts.at(user).holds_known = true;
}

void take(Accounts& accounts, const pg::Rows& rows) {
  for (std::size_t i = 0; i < rows.size(); ++i) accounts.emplace(rows.text(i, 0), account_from(rows, i));
}

std::set<std::string> missing(const std::set<std::string>& users, const Accounts& accounts) {
  std::set<std::string> rest;
  for (const std::string& user : users)
    if (accounts.count(user) == 0) rest.insert(user);
  return rest;
}

std::set<std::string> users_of(const Accounts& accounts) {
  std::set<std::string> users;
  for (const auto& [user, account] : accounts) users.insert(user);
  return users;
}

void add_live_lots(Accounts& accounts) {
  if (accounts.empty()) return;
  auto& [user, account] = *accounts.begin();
  if (accounts.size() == 1 && live_lots_of.usable())
    add(account, live_lots_of.find({pg::parameter(user)}));
  else
    add(accounts, live_lots.run(pg::texts(users_of(accounts))));
}

template <typename Values, typename Value>
void run_pairs(Accounts& accounts, pg::Statement& statement, const PerUser<Value>& pairs) {
  pg::Texts users;
  Values values;
  for (const auto& [user, value] : pairs) {
    users.push_back(user);
    values.push_back(value);
  }
  if (!users.empty()) add(accounts, statement.run(users, values));
}

}  // namespace

const pg::RowReader& account_reader() { return account_of; }
const pg::RowReader& live_lot_reader() { return live_lots_of; }

Accounts lock(const std::set<std::string>& users, bool create, bool wait, const Settings& settings) {
  Accounts accounts;
  if (users.empty()) return accounts;
  pg::Statement& statement = wait ? lock_accounts : lock_free_accounts;
  const bool one = wait && users.size() == 1;
  take(accounts, one ? lock_one(*users.begin()) : statement.run(pg::texts(users)));
  const std::set<std::string> rest = missing(users, accounts);
  if (create && !rest.empty()) {
    // One that is there is busy: inserting it would wait for whoever changes it.
    std::set<std::string> absent = rest;
    const pg::Rows there = known_accounts.run(pg::texts(rest));
    for (std::size_t i = 0; i < there.size(); ++i) absent.erase(there.text(i, 0));
    if (!absent.empty()) insert_accounts.run(pg::texts(absent));
    take(accounts, statement.run(pg::texts(rest)));
  }
  add_live_lots(accounts);
  for (const auto& [user, time] : test_clocks::times(users, settings.access))
    if (const auto found = accounts.find(user); found != accounts.end()) found->second.frozen_time = time;
  return accounts;
}

void queue_for(const std::string& user_id) {
  const Oid schema = pg::Session::current().schema();
  const char* data = user_id.data();
  const int size = static_cast<int>(user_id.size());
  pg::guard([&] {
    const std::uint64_t hash =
        DatumGetUInt64(hash_bytes_extended(reinterpret_cast<const unsigned char*>(data), size, schema));
    DirectFunctionCall1(pg_advisory_xact_lock_int8, Int64GetDatum(static_cast<int64>(hash)));
  });
}

Accounts read(const std::set<std::string>& users, Instant at) {
  Accounts accounts;
  take(accounts, read_accounts.run(pg::texts(users)));
  if (accounts.empty()) return accounts;
  add_live_lots(accounts);
  add_open_holds(accounts);
  const Instant last = std::max(at, pg::from_timestamptz(GetCurrentTimestamp()));
  for (auto& [user, account] : accounts)
    if (account.due_at_load <= last) add_live_series(account);
  return accounts;
}

void add_lots(Accounts& accounts, const PerUser<std::int64_t>& lots) {
  run_pairs<pg::Numbers>(accounts, lots_by_id, lots);
}
void add_series(Accounts& accounts, const PerUser<std::string>& series) {
  run_pairs<pg::Texts>(accounts, lots_by_series, series);
}
void add_series_of(Account& account, const std::vector<Burn>& burns) {
  std::set<std::string> series;
  for (const Burn& burn : burns)
    if (const Lot* lot = account.find_lot(burn.lot_id)) series.insert(lot->series);
  add_series(account, series);
}

void add_hold(Account& account, std::int64_t hold_id) {
  const pg::Rows rows = hold_by_id.run(account.user_id, hold_id);
  if (!rows.empty() && account.find_hold(hold_id) == nullptr) account.holds.push_back(hold_from(rows, 0));
}

void advance(Account& account) {
  const Instant now = account.frozen_time.value_or(pg::from_timestamptz(GetCurrentTimestamp()));
  if (std::max(now, account.last_entry_at) >= account.due_at_load) {
    account.changed = true;  // if only when something is due next
    // Until then no hold ends, and whoever adds or ends one loads it.
    if (!account.holds_known) {
      const pg::Rows rows = open_holds.run(pg::Texts{account.user_id});
      for (std::size_t i = 0; i < rows.size(); ++i)
        if (account.find_hold(rows.number(i, 1)) == nullptr) account.holds.push_back(hold_from(rows, i));
      account.holds_known = true;
    }
    add_live_series(account);
  }
  account.advance(now);
}

}  // namespace billing::credits::store
