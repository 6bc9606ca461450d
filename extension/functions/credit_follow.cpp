#include "functions/credit_follow.hpp"

#include <algorithm>
#include <map>
#include <optional>

#include "core/credit_line.hpp"
#include "core/fields.hpp"
#include "functions/credit_catalogue.hpp"
#include "functions/credit_sources.hpp"
#include "functions/credit_store.hpp"
#include "functions/payment_facts.hpp"
#include "pg/spi.hpp"

namespace billing::credits::follow {

namespace {

pg::Statement existing_grants(
    "SELECT g.user_id, g.grant_id, g.grant_key, g.stripe_invoice_id, g.amount, g.reversed, g.reversal_target,"
    "  g.reversal_debt, g.source, (g.rule ->> 'full')::bigint FROM @credit_grants g"
    " WHERE g.user_id = ANY ($1) AND (g.stripe_invoice_id IS NOT NULL OR g.grant_key IS NOT NULL)");
pg::Statement installed_at("SELECT last_value FROM @billing_installation");
struct Existing {
  std::int64_t id = 0;
  std::string key;
  std::string invoice_id;
  std::string source;
  Amount amount = 0;
  Amount reversed = 0;
  ReversalTarget target;  // as it stands; debt_limit = what became debt
  Amount full = 0;        // what it would have been without other invoices
};
using ExistingGrants = std::map<std::string, std::vector<Existing>>;  // by user

struct Change {
  std::vector<PlannedGrant> grants;
  std::map<std::int64_t, ReversalTarget> reversals;  // by grant
  bool empty() const { return grants.empty() && reversals.empty(); }
};

// The invoice line that a key is of, without the number of its interval.
std::string line_of(const std::string& key) {
  for (const char* rule : {":period", ":upgrade"})
    if (const std::size_t at = key.rfind(rule); at != std::string::npos)
      return key.substr(0, at + std::string_view(rule).size());
  return key;
}

ExistingGrants read_existing(const std::set<std::string>& users) {
  ExistingGrants found;
  if (users.empty()) return found;
  const pg::Rows rows = existing_grants.run(pg::texts(users));
  for (std::size_t i = 0; i < rows.size(); ++i)
    found[rows.text(i, 0)].push_back({rows.number(i, 1),
                                      rows.text(i, 2),
                                      rows.text(i, 3),
                                      rows.text(i, 8),
                                      rows.number(i, 4),
                                      rows.number(i, 5),
                                      {rows.number(i, 6), rows.number(i, 7)},
                                      rows.maybe_number(i, 9).value_or(rows.number(i, 4))});
  return found;
}

class Follow {
 public:
  Follow(const std::set<Subject>& subjects, const std::vector<Trial>& trials, const Settings& settings,
         bool wait)
      : subjects_(subjects), trials_(trials), settings_(settings), wait_(wait) {}

  std::set<std::string> run() {
    find_sources();
    plan();
    const std::set<std::string> users = users_concerned();
    const ExistingGrants existing = read_existing(users);
    if (plans_.empty() && existing.empty()) return {};
    read_payments();
    if (changes(existing, users).empty()) return {};
    return apply(users);
  }

 private:
  void find_sources() {
    std::set<std::string> customers, ids, whole, payers;
    for (const Subject& subject : subjects_) {
      user_of_[subject.customer_id] = subject.user_id;
      switch (subject.kind) {
        case Subject::Kind::invoice:
        case Subject::Kind::checkout:
          customers.insert(subject.customer_id);
          ids.insert(subject.id);
          break;
        case Subject::Kind::payments:
          payers.insert(subject.user_id);
          customers.insert(subject.customer_id);
          break;
        case Subject::Kind::customer:
          whole.insert(subject.customer_id);
          break;
      }
    }
    for (const auto& [user, grants] : read_existing(payers))
      for (const Existing& grant : grants)
        if (!grant.invoice_id.empty()) ids.insert(grant.invoice_id);
    sources_ = Sources(user_of_, settings_.live).read(customers, ids, whole, reviewed_);
  }

  void plan() {
    std::set<mirror::Key> prices;
    const auto want = [&](const std::string& account, const std::string& id) {
      prices.insert({account, settings_.live, "price", id});
    };
    for (const auto& [id, source] : sources_)
      for (const std::string& price :
           source.type == "invoice" ? prices_of(source.object) : prices_of_checkout(source.object))
        want(source.account, price);
    for (const Trial& trial : trials_)
      for (const SubscriptionItem& item : trial.subscription.items)
        want(trial.subscription.account, item.price_id);
    catalogue_ = read_catalogue(prices, unsure_);

    std::map<std::string, std::vector<const Json*>> invoices;  // by subscription
    for (const auto& [id, source] : sources_) {
      if (source.type == "invoice" && may_grant(source.object)) {
        add_embedded(source);
        invoices[fields::invoice_subscription(source.object)].push_back(&source.object);
      } else if (source.type == "checkout.session") {
        if (auto grant = plan_checkout(source.object, catalogue_))
          keep(source.user_id, source.customer_id, id, time_of(source.object, "created").value_or(0),
               std::move(*grant));
      }
    }
    for (const auto& [subscription, objects] : invoices)
      if (is_unsure(objects)) unsure_subscriptions_.insert(subscription);
    for (const auto& [subscription, objects] : invoices)
      for (PlannedGrant& grant : plan_invoices(objects, catalogue_)) {
        // Its amount could not grow any more.
        if (grant.source == "upgrade" && unsure_subscriptions_.count(subscription) > 0) continue;
        const Source& source = sources_.at(grant.invoice_id);
        keep(source.user_id, source.customer_id, source.id, granted_at(source.object), std::move(grant));
      }
    for (const Trial& trial : trials_)
      if (auto grant = plan_trial(trial.subscription, catalogue_))
        keep(trial.user_id, trial.subscription.customer_id, "", trial.subscription.trial_start.value_or(0),
             std::move(*grant));
  }

  // Whether it is not known yet what one of the prices grants: it comes with the price or its product.
  bool is_unsure(const std::vector<const Json*>& invoices) const {
    for (const Json* invoice : invoices)
      for (const std::string& price : prices_of(*invoice))
        if (catalogue_.count(price) == 0 || unsure_.count(price) > 0) return true;
    return false;
  }

  // What the invoice itself says about its prices (before basil) counts before what the mirror says.
  void add_embedded(const Source& source) {
    for (const Json& price : embedded_prices("invoice", source.object)) {
      const std::string id = text_of(price, "id").value_or("");
      if (!mentions_credits(price) && catalogue_.count(id) > 0) continue;
      if (mentions_credits(price))
        unsure_.erase(id);
      else
        unsure_.insert(id);
      catalogue_[id] = read_price(price, nullptr);
    }
  }

  void keep(const std::string& user, const std::string& customer, const std::string& invoice, Seconds at,
            PlannedGrant grant) {
    if (at < since()) return;
    grant.invoice_id = invoice;
    customer_of_[{user, grant.key}] = customer;
    plans_[user].push_back(std::move(grant));
  }

  Seconds since() {
    if (!since_) since_ = settings_.grants_since ? *settings_.grants_since : installed_at.run().number(0, 0);
    return *since_;
  }

  void read_payments() {
    std::vector<PaymentSubject> subjects;
    for (const auto& [id, source] : sources_) subjects.push_back({id, source.account, &source.object});
    for (auto& [id, facts] : read_payment_facts(subjects, settings_.live))
      reversals_[id] = read_reversal(sources_.at(id).object, facts.charges, facts.credit_notes);
  }

  std::set<std::string> users_concerned() const {
    std::set<std::string> users;
    for (const auto& [user, plan] : plans_) users.insert(user);
    for (const std::string& id : reviewed_) users.insert(sources_.at(id).user_id);
    return users;
  }

  bool is_certain(const std::string& invoice_id) const {
    const Json& invoice = sources_.at(invoice_id).object;
    return may_grant(invoice) && unsure_subscriptions_.count(fields::invoice_subscription(invoice)) == 0;
  }

  ReversalTarget target_of(const std::string& invoice_id, Amount amount) const {
    const auto found = reversals_.find(invoice_id);
    return found == reversals_.end() ? ReversalTarget{}
                                     : reversal_target(found->second, amount, settings_.clawback_debt);
  }

  // What a grant's own rule takes back: the share of it that is not due now that other invoices are known. A
  // share, because a price that grants less today does not make an old grant smaller.
  ReversalTarget target_of(const Existing& grant,
                           const std::map<std::string, const PlannedGrant*>& planned) const {
    const auto found = planned.find(grant.key);
    // Only of an upgrade it shows later that it was none.
    if (found == planned.end() && grant.source == "upgrade" && is_certain(grant.invoice_id)) {
      ReversalTarget target;
      target.target = grant.amount;
      return target;
    }
    if (found == planned.end() || found->second->full <= found->second->amount)
      return target_of(grant.invoice_id, grant.amount);
    const PlannedGrant& plan = *found->second;
    // Of the whole, part of which may have been left out when it was granted.
    const Amount due = std::min(grant.amount, to_amount(Wide(grant.full) * plan.amount / plan.full));
    // What is paid back takes its share of what is due, as it would had no more been granted.
    ReversalTarget target = target_of(grant.invoice_id, due);
    target.target += grant.amount - due;
    return target;
  }

  // An invoice that is only looked at beside another one grants no period at today's price.
  bool may_grant_now(const PlannedGrant& grant) const {
    return grant.invoice_id.empty() || grant.source == "upgrade" || reviewed_.count(grant.invoice_id) > 0;
  }

  std::map<std::string, Change> changes(const ExistingGrants& existing,
                                        const std::set<std::string>& users) const {
    std::map<std::string, Change> changes;
    for (const std::string& user : users) {
      std::set<std::string> keys, lines;
      std::map<std::string, const PlannedGrant*> planned;
      const auto plan = plans_.find(user);
      if (plan != plans_.end())
        for (const PlannedGrant& grant : plan->second) planned[grant.key] = &grant;
      Change change;
      if (const auto found = existing.find(user); found != existing.end()) {
        for (const Existing& grant : found->second) {
          keys.insert(grant.key);
          lines.insert(line_of(grant.key));
          if (sources_.count(grant.invoice_id) == 0) continue;
          const ReversalTarget target = target_of(grant, planned);
          const bool owes_more = target.target > grant.reversed + grant.target.debt_limit &&
                                 target.debt_limit > grant.target.debt_limit;
          if (target.target != grant.target.target || owes_more ||
              target.debt_limit < grant.target.debt_limit)
            change.reversals[grant.id] = target;
        }
      }
      if (plan != plans_.end())
        for (const PlannedGrant& grant : plan->second)
          if (grant.amount > 0 && keys.count(manual_key(grant.invoice_id)) == 0 &&
              lines.count(line_of(grant.key)) == 0 && may_grant_now(grant) && keys.insert(grant.key).second)
            change.grants.push_back(grant);
      if (!change.empty()) changes[user] = std::move(change);
    }
    return changes;
  }

  std::set<std::string> apply(const std::set<std::string>& users) {
    std::set<std::string> wanted;
    for (const auto& [user, change] : changes(read_existing(users), users)) wanted.insert(user);
    store::Accounts accounts = store::lock(wanted, true, wait_);
    std::set<std::string> locked, busy;
    for (const std::string& user : wanted) (accounts.count(user) > 0 ? locked : busy).insert(user);
    // Again, as it is now that nobody else changes it.
    const std::map<std::string, Change> due = changes(read_existing(locked), locked);
    store::PerUser<std::int64_t> lots;
    store::PerUser<std::string> series;
    for (const auto& [user, change] : due) {
      for (const auto& [id, target] : change.reversals) lots.insert({user, id});
      for (const PlannedGrant& grant : change.grants)
        if (!grant.series.empty()) series.insert({user, grant.series});
    }
    store::add_lots(accounts, lots);
    for (const auto& [user, change] : due)
      for (const auto& [id, target] : change.reversals)
        if (const Lot* lot = accounts.at(user).find_lot(id); lot != nullptr && !lot->series.empty())
          series.insert({user, lot->series});
    store::add_series(accounts, series);
    for (const auto& [user, change] : due) change_account(accounts.at(user), change);
    store::save(accounts);
    return busy;
  }

  void change_account(Account& account, const Change& change) {
    store::advance(account);
    for (const auto& [id, target] : change.reversals) reverse(account, id, target);
    std::vector<PlannedGrant> grants = change.grants;
    std::sort(grants.begin(), grants.end(), [](const PlannedGrant& a, const PlannedGrant& b) {
      return std::tie(a.cycle_start, a.effective_at, a.key) < std::tie(b.cycle_start, b.effective_at, b.key);
    });
    for (const PlannedGrant& grant : grants) {
      Note note;
      note.description = grant.description;
      note.metadata = {{"stripe_customer_id", customer_of_.at({account.user_id, grant.key})}};
      if (!grant.invoice_id.empty())
        note.metadata[grant.source == "checkout" ? "checkout_session_id" : "invoice_id"] = grant.invoice_id;
      if (!grant.subscription_id.empty()) note.metadata["subscription_id"] = grant.subscription_id;
      if (!grant.price_id.empty()) note.metadata["price_id"] = grant.price_id;
      const std::int64_t id = account.grant(lot_of(grant, change), note);
      const ReversalTarget target = target_of(grant.invoice_id, grant.amount);
      if (target.target > 0) reverse(account, id, target);
    }
  }

  static void reverse(Account& account, std::int64_t id, const ReversalTarget& target) {
    const Lot& lot = *account.find_lot(id);
    Note note;
    note.description = target.target > lot.reversal_target ? "what paid for it was paid back"
                                                           : "what paid for it stands again";
    note.metadata = lot.metadata;
    account.reverse(id, target.target, target.debt_limit, note);
  }

  // Slack is for the renewal that is on its way: where the same invoice grants the next interval, there is
  // none.
  Lot lot_of(const PlannedGrant& grant, const Change& change) const {
    Lot lot;
    lot.amount = grant.amount;
    lot.priority = grant.priority;
    lot.effective_at = grant.effective_at;
    if (grant.expires_at) {
      const bool followed =
          std::any_of(change.grants.begin(), change.grants.end(), [&](const PlannedGrant& other) {
            return other.invoice_id == grant.invoice_id && other.series == grant.series &&
                   other.effective_at != 0 && other.effective_at == instant(*grant.expires_at);
          });
      lot.expires_at =
          instant(followed ? *grant.expires_at : later_by(*grant.expires_at, settings_.access.renewal_slack));
    }
    lot.requires_subscription = grant.requires_subscription;
    lot.subscription_id = grant.subscription_id;
    lot.series = grant.series;
    lot.cycle_start = instant(grant.cycle_start);
    lot.rollover = grant.rollover;
    lot.category = grant.category;
    lot.source = grant.source;
    lot.key = grant.key;
    lot.invoice_id = grant.invoice_id;
    lot.rule = grant.rule;
    if (grant.full > grant.amount) lot.rule["full"] = grant.full;
    return lot;
  }

  const std::set<Subject>& subjects_;
  const std::vector<Trial>& trials_;
  const Settings& settings_;
  bool wait_;
  std::map<std::string, std::string> user_of_;  // by customer
  std::map<std::string, Source> sources_;       // by id
  std::set<std::string> reviewed_;              // sources whose payments may have changed
  Catalogue catalogue_;
  std::set<std::string> unsure_;  // prices
  std::set<std::string> unsure_subscriptions_;
  std::map<std::string, std::vector<PlannedGrant>> plans_;                  // by user
  std::map<std::pair<std::string, std::string>, std::string> customer_of_;  // by user and key
  std::map<std::string, Reversal> reversals_;                               // by source
  std::optional<Seconds> since_;
};

}  // namespace

std::set<std::string> apply(const std::set<Subject>& subjects, const std::vector<Trial>& trials,
                            const Settings& settings, bool wait) {
  if (subjects.empty() && trials.empty()) return {};
  return Follow(subjects, trials, settings, wait).run();
}

}  // namespace billing::credits::follow
