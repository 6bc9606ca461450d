// credit_accounts, credit_grants, credit_holds, credit_transactions, credit_burns: from rows to accounts and
// back.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/credit_account.hpp"
#include "pg/row_reader.hpp"
#include "settings.hpp"

namespace billing::credits::store {

using Accounts = std::map<std::string, Account>;
template <typename Value>
using PerUser = std::set<std::pair<std::string, Value>>;  // (user_id, value)

// Locks the accounts of these users in bytewise order and reads them, with their live lots. Users without an
// account are left out; with `create` they get one. With `wait` false, those that another transaction holds
// are left out.
Accounts lock(const std::set<std::string>& users, bool create, bool wait, const Settings& settings);
// As one user's own call does it: an advisory lock makes a queue in front of the row.
void queue_for(const std::string& user_id);
// Reads without locking what is asked about an instant; nothing of it may be saved.
Accounts read(const std::set<std::string>& users, Instant at);

// Adds rows that are not live, or not open any more, to accounts that are locked.
void add_lots(Accounts& accounts, const PerUser<std::int64_t>& lots);
void add_series(Accounts& accounts, const PerUser<std::string>& series);
// The other lots of the series that these lots are in.
void add_series_of(Account& account, const std::vector<Burn>& burns);
void add_hold(Account& account, std::int64_t hold_id);

// The instant of a change: now, or what the test clock of its user shows, but never before the account's last
// entry. What is due by then happens.
void advance(Account& account);
// What the rows of one account were read by, for who writes them.
const pg::RowReader& account_reader();
const pg::RowReader& live_lot_reader();
// Writes whatever changed.
void save(Accounts& accounts);
void save(Account& account);

}  // namespace billing::credits::store
