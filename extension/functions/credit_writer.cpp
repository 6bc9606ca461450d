// The writing half of the store: each table once, whatever the number of accounts.
#include "functions/credit_store.hpp"
#include "functions/notifications.hpp"
#include "pg/row_writer.hpp"
#include "pg/spi.hpp"

namespace billing::credits::store {

namespace {

pg::Statement update_accounts(
    "UPDATE @credit_accounts a SET balance = r.balance, held = r.held, debt = r.debt,"
    "  subscription_credits = r.subscription_credits, next_due_at = r.due, last_transaction_id = r.entry,"
    "  last_grant_id = r.lot, last_hold_id = r.hold, last_entry_at = r.entry_at, low_told = r.low_told,"
    "  subscription_credits_of = r.needed"
    " FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
    "  r(user_id, balance, held, debt, subscription_credits, due, entry, lot, hold, entry_at, low_told, "
    "needed)"
    " WHERE a.user_id = r.user_id");

pg::Statement insert_lots(
    "INSERT INTO @credit_grants (user_id, grant_id, amount, remaining, held, spent, lapsed, reversed,"
    "  reversal_target, reversal_debt, started, voided, live, expires_at, category, priority, effective_at,"
    "  requires_subscription, stripe_subscription_id, source, grant_key, stripe_invoice_id, series, "
    "cycle_start,"
    "  rollover, rule, description, metadata, created_at)"
    " SELECT r.user_id, r.id, r.amount, r.remaining, r.held, r.spent, r.lapsed, r.reversed, r.target, r.debt,"
    "  r.started, r.voided, r.live, r.expires_at, r.category, r.priority, r.effective_at, r.required,"
    "  r.subscription, r.source, r.key, r.invoice, r.series, r.cycle_start, r.rollover, r.rule::jsonb,"
    "  r.description, r.metadata::jsonb, r.created_at"
    " FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,"
    "  $21, $22, $23, $24, $25, $26, $27, $28, $29)"
    "  r(user_id, id, amount, remaining, held, spent, lapsed, reversed, target, debt, started, voided, live,"
    "    expires_at, category, priority, effective_at, required, subscription, source, key, invoice, series,"
    "    cycle_start, rollover, rule, description, metadata, created_at)");

pg::Statement update_lots(
    "UPDATE @credit_grants g SET remaining = r.remaining, held = r.held, spent = r.spent, lapsed = r.lapsed,"
    "  reversed = r.reversed, reversal_target = r.target, reversal_debt = r.debt, started = r.started,"
    "  voided = r.voided, live = r.live, expires_at = r.expires_at"
    " FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
    "  r(user_id, id, remaining, held, spent, lapsed, reversed, target, debt, started, voided, live, "
    "expires_at)"
    " WHERE g.user_id = r.user_id AND g.grant_id = r.id");

pg::Statement move_lots(
    "UPDATE @credit_grants g SET cycle_start = r.cycle_start FROM unnest($1, $2, $3) r(user_id, id, "
    "cycle_start)"
    " WHERE g.user_id = r.user_id AND g.grant_id = r.id");

pg::Statement insert_holds(
    "INSERT INTO @credit_holds (user_id, hold_id, amount, status, captured, transaction_id, closed_at, lots,"
    "  actor_id, description, metadata, created_at, expires_at)"
    " SELECT r.user_id, r.id, r.amount, r.status, r.captured, r.entry, r.closed_at, r.lots::jsonb, r.actor,"
    "  r.description, r.metadata::jsonb, r.created_at, r.expires_at"
    " FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
    "  r(user_id, id, amount, status, captured, entry, closed_at, lots, actor, description, metadata,"
    "    created_at, expires_at)");

pg::Statement update_holds(
    "UPDATE @credit_holds h SET status = r.status, captured = r.captured, transaction_id = r.entry,"
    "  closed_at = r.closed_at"
    " FROM unnest($1, $2, $3, $4, $5, $6) r(user_id, id, status, captured, entry, closed_at)"
    " WHERE h.user_id = r.user_id AND h.hold_id = r.id");

// One account and lot, and their entries and burns, is what most changes are about: a statement would cost
// more than the rows.
pg::RowWriter account_row("credit_accounts", "credit_accounts_pkey",
                          "user_id balance held debt subscription_credits next_due_at last_transaction_id "
                          "last_grant_id last_hold_id last_entry_at low_thresholds low_told created_at "
                          "subscription_credits_of");
pg::RowWriter lot_row(
    "credit_grants", "credit_grants_pkey",
    "user_id grant_id amount remaining held spent lapsed reversed reversal_target "
    "reversal_debt started voided live category priority effective_at expires_at "
    "requires_subscription stripe_subscription_id source grant_key stripe_invoice_id series "
    "cycle_start rollover rule description metadata created_at");
pg::RowWriter entry_rows(
    "credit_transactions", "credit_transactions_pkey",
    "user_id transaction_id transaction_type amount balance_after debt_change debt_after "
    "grant_id refers_to hold_id actor_id idempotency_key description metadata "
    "effective_at created_at");
pg::RowWriter burn_rows("credit_burns", "credit_burns_pkey",
                        "user_id transaction_id grant_id amount position");

std::optional<std::string> unless_empty(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

std::optional<std::int64_t> unless_zero(std::int64_t number) {
  return number == 0 ? std::nullopt : std::optional(number);
}

const char* name_of(Hold::Status status) {
  switch (status) {
    case Hold::Status::open:
      return "open";
    case Hold::Status::captured:
      return "captured";
    case Hold::Status::released:
      return "released";
    case Hold::Status::expired:
      break;
  }
  return "expired";
}

void save_accounts(const std::vector<Account*>& accounts) {
  pg::Texts user, needed;
  pg::Numbers balance, held, debt, subscription_credits, entry, lot, hold, low_told;
  pg::Times due, entry_at;
  for (const Account* account : accounts) {
    Amount bound = 0;
    std::set<std::string_view> subscriptions;
    for (const Lot& one : account->lots) {
      if (!one.started || !one.requires_subscription || one.free() == 0) continue;
      bound += one.free();
      subscriptions.insert(one.subscription_id);
    }
    user.push_back(account->user_id);
    balance.push_back(account->balance);
    held.push_back(account->held);
    debt.push_back(account->debt);
    subscription_credits.push_back(bound);
    due.values.push_back(account->next_due());
    entry.push_back(account->last_entry_id);
    lot.push_back(account->last_lot_id);
    hold.push_back(account->last_hold_id);
    entry_at.values.push_back(account->last_entry_at);
    low_told.push_back(account->low_told);
    needed.push_back(subscriptions.size() == 1 ? std::optional(std::string(*subscriptions.begin()))
                                               : std::nullopt);
  }
  if (accounts.size() == 1 && account_row.usable()) {
    using pg::parameter;
    account_row.update({parameter(*user[0])},
                       {{2, parameter(balance[0])},
                        {3, parameter(held[0])},
                        {4, parameter(debt[0])},
                        {5, parameter(subscription_credits[0])},
                        {6, parameter(pg::Time{due.values[0]})},
                        {7, parameter(entry[0])},
                        {8, parameter(lot[0])},
                        {9, parameter(hold[0])},
                        {10, parameter(pg::Time{entry_at.values[0]})},
                        {12, parameter(low_told[0])},
                        {14, parameter(needed[0])}},
                       account_reader());
    return;
  }
  update_accounts.run(user, balance, held, debt, subscription_credits, due, entry, lot, hold, entry_at,
                      low_told, needed);
}

// Columns of a lot that change.
struct LotState {
  pg::Texts user;
  pg::Numbers id, remaining, held, spent, lapsed, reversed, target, debt;
  pg::Flags started, voided, live;
  pg::Times expires_at;
  void add(const Account& account, const Lot& lot) {
    user.push_back(account.user_id);
    id.push_back(lot.id);
    remaining.push_back(lot.remaining);
    held.push_back(lot.held);
    spent.push_back(lot.spent);
    lapsed.push_back(lot.lapsed);
    reversed.push_back(lot.reversed);
    target.push_back(lot.reversal_target);
    debt.push_back(lot.reversal_debt);
    started.push_back(lot.started ? 1 : 0);
    voided.push_back(lot.voided ? 1 : 0);
    live.push_back(lot.live() ? 1 : 0);
    expires_at.values.push_back(lot.expires_at);
  }
};

void save_lots(const std::vector<Account*>& accounts) {
  LotState updates, inserts;
  pg::Numbers amount, priority, rollover;
  pg::Texts category, subscription, source, key, invoice, series, rule, description, metadata;
  pg::Texts moved_user;
  pg::Numbers moved_id;
  pg::Times effective_at, cycle_start, created_at, moved_to;
  pg::Flags required;
  for (const Account* account : accounts) {
    for (const Lot& lot : account->lots) {
      if (!lot.is_new) {
        if (lot.changed) updates.add(*account, lot);
        if (!lot.moved) continue;
        moved_user.push_back(account->user_id);
        moved_id.push_back(lot.id);
        moved_to.values.push_back(lot.cycle_start);
        continue;
      }
      inserts.add(*account, lot);
      amount.push_back(lot.amount);
      category.push_back(lot.category);
      priority.push_back(lot.priority);
      effective_at.values.push_back(lot.effective_at);
      required.push_back(lot.requires_subscription ? 1 : 0);
      subscription.push_back(unless_empty(lot.subscription_id));
      source.push_back(lot.source);
      key.push_back(unless_empty(lot.key));
      invoice.push_back(unless_empty(lot.invoice_id));
      series.push_back(unless_empty(lot.series));
      cycle_start.values.push_back(lot.series.empty() ? std::nullopt : std::optional(lot.cycle_start));
      rollover.push_back(lot.rollover.kind == Rollover::Kind::all ? std::nullopt
                                                                  : std::optional(lot.rollover.limit));
      rule.push_back(lot.rule.is_null() ? std::nullopt : std::optional(to_text(lot.rule)));
      description.push_back(unless_empty(lot.description));
      metadata.push_back(to_text(lot.metadata));
      created_at.values.push_back(lot.created_at);
    }
  }
  if (!inserts.id.empty())
    insert_lots.run(inserts.user, inserts.id, amount, inserts.remaining, inserts.held, inserts.spent,
                    inserts.lapsed, inserts.reversed, inserts.target, inserts.debt, inserts.started,
                    inserts.voided, inserts.live, inserts.expires_at, category, priority, effective_at,
                    required, subscription, source, key, invoice, series, cycle_start, rollover, rule,
                    description, metadata, created_at);
  if (updates.id.size() == 1 && lot_row.usable()) {
    using pg::parameter;
    lot_row.update({parameter(*updates.user[0]), parameter(*updates.id[0])},
                   {{4, parameter(updates.remaining[0])},
                    {5, parameter(updates.held[0])},
                    {6, parameter(updates.spent[0])},
                    {7, parameter(updates.lapsed[0])},
                    {8, parameter(updates.reversed[0])},
                    {9, parameter(updates.target[0])},
                    {10, parameter(updates.debt[0])},
                    {11, parameter(updates.started[0] != 0)},
                    {12, parameter(updates.voided[0] != 0)},
                    {13, parameter(updates.live[0] != 0)},
                    {17, parameter(pg::Time{updates.expires_at.values[0]})}},
                   live_lot_reader());
  } else if (!updates.id.empty()) {
    update_lots.run(updates.user, updates.id, updates.remaining, updates.held, updates.spent, updates.lapsed,
                    updates.reversed, updates.target, updates.debt, updates.started, updates.voided,
                    updates.live, updates.expires_at);
  }
  if (!moved_id.empty()) move_lots.run(moved_user, moved_id, moved_to);
}

void save_entries(const std::vector<Account*>& accounts) {
  using pg::parameter;
  static const Json none = Json::object();
  const auto text = [](const std::string& value) {
    pg::Parameter made = parameter(value);
    made.null = value.empty();
    return made;
  };
  const auto time = [](Instant instant) { return parameter(pg::Time{instant}); };
  const auto add = [](std::vector<pg::Parameter>& rows, std::initializer_list<pg::Parameter> row) {
    rows.insert(rows.end(), row);
  };
  std::vector<pg::Parameter> entries, burns;
  for (const Account* account : accounts) {
    for (const Entry& entry : account->entries) {
      const Note& note = entry.note;
      add(entries, {parameter(account->user_id), parameter(entry.id), parameter(credits::name_of(entry.type)),
                    parameter(entry.amount), parameter(entry.balance_after), parameter(entry.debt_change),
                    parameter(entry.debt_after), parameter(unless_zero(entry.lot_id)),
                    parameter(unless_zero(entry.refers_to)), parameter(unless_zero(entry.hold_id)),
                    text(note.actor_id), text(note.idempotency_key), text(note.description),
                    pg::document_parameter(note.metadata.is_object() ? note.metadata : none),
                    time(entry.effective_at), time(account->now())});
      std::int64_t position = 0;
      for (const Burn& burn : entry.burns)
        add(burns,
            {parameter(account->user_id), parameter(entry.id), parameter(burn.lot_id),
             parameter(entry.type == EntryType::refund ? -burn.amount : burn.amount), parameter(++position)});
    }
  }
  entry_rows.insert(entries);
  burn_rows.insert(burns);
}

void save_holds(const std::vector<Account*>& accounts) {
  struct State {
    pg::Texts user, status;
    pg::Numbers id, captured, entry;
    pg::Times closed_at;
    void add(const Account& account, const Hold& hold) {
      user.push_back(account.user_id);
      id.push_back(hold.id);
      status.push_back(name_of(hold.status));
      captured.push_back(hold.captured);
      entry.push_back(unless_zero(hold.transaction_id));
      closed_at.values.push_back(hold.closed_at);
    }
  } inserts, updates;
  pg::Numbers amount;
  pg::Texts lots, actor, description, metadata;
  pg::Times created_at, expires_at;
  for (const Account* account : accounts) {
    for (const Hold& hold : account->holds) {
      if (!hold.is_new) {
        if (hold.changed) updates.add(*account, hold);
        continue;
      }
      inserts.add(*account, hold);
      Json reserved = Json::array();
      for (const Burn& burn : hold.lots) reserved.push_back(Json::array({burn.lot_id, burn.amount}));
      amount.push_back(hold.amount);
      lots.push_back(to_text(reserved));
      actor.push_back(unless_empty(hold.actor_id));
      description.push_back(unless_empty(hold.description));
      metadata.push_back(to_text(hold.metadata));
      created_at.values.push_back(hold.created_at);
      expires_at.values.push_back(hold.expires_at);
    }
  }
  if (!inserts.id.empty())
    insert_holds.run(inserts.user, inserts.id, amount, inserts.status, inserts.captured, inserts.entry,
                     inserts.closed_at, lots, actor, description, metadata, created_at, expires_at);
  if (!updates.id.empty())
    update_holds.run(updates.user, updates.id, updates.status, updates.captured, updates.entry,
                     updates.closed_at);
}

void save_all(const std::vector<Account*>& accounts) {
  if (accounts.empty()) return;
  notifications::tell_of_low_credits(accounts);
  save_accounts(accounts);
  save_lots(accounts);
  save_entries(accounts);
  save_holds(accounts);
}

}  // namespace

void save(Accounts& accounts) {
  std::vector<Account*> changed;
  for (auto& [user, account] : accounts)
    if (account.changed) changed.push_back(&account);
  save_all(changed);
}

void save(Account& account) {
  if (account.changed) save_all({&account});
}

}  // namespace billing::credits::store
