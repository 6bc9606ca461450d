#include "functions/credit_follow.hpp"

#include <algorithm>
#include <map>
#include <optional>

#include "core/credit_chain.hpp"
#include "core/credit_line.hpp"
#include "core/fields.hpp"
#include "core/test_clock.hpp"
#include "functions/credit_catalogue.hpp"
#include "functions/credit_existing.hpp"
#include "functions/credit_lot.hpp"
#include "functions/credit_sources.hpp"
#include "functions/credit_store.hpp"
#include "functions/imported_sources.hpp"
#include "functions/payment_facts.hpp"
#include "pg/spi.hpp"

namespace billing::credits::follow {

namespace {

// A grant to be made, and what of it goes back at once.
struct Due {
  PlannedGrant grant;
  ReversalTarget target;
};

struct Change {
  std::vector<Due> grants;
  std::map<std::int64_t, ReversalTarget> reversals;  // by grant
  std::map<std::int64_t, Instant> places;            // in their series, where they change
  bool empty() const { return grants.empty() && reversals.empty() && places.empty(); }
};

class Follow {
 public:
  Follow(const Touched& touched, const Settings& settings, bool wait)
      : subjects_(touched.subjects),
        trials_(touched.trials),
        brought_(touched.brought),
        settings_(settings),
        wait_(wait) {}

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
    std::set<std::string> owners = payers;
    for (const std::string& customer : whole) owners.insert(user_of_[customer]);
    const ExistingGrants existing = read_existing(owners);
    for (const std::string& user : payers)
      if (const auto found = existing.find(user); found != existing.end())
        for (const Existing& grant : found->second)
          if (!grant.invoice_id.empty()) ids.insert(grant.invoice_id);
    sources_ = Sources(user_of_, settings_.live, brought_).read(customers, ids, whole, reviewed_);
    add_unseen_invoices(existing);
    std::vector<std::string> accounts, sources;
    for (const auto& [id, source] : sources_) {
      accounts.push_back(source.account);
      sources.push_back(id);
    }
    imported_.read(accounts, sources, settings_.live);
  }

  // A person may grant for an invoice that was never told of; its charges may be.
  void add_unseen_invoices(const ExistingGrants& existing) {
    for (const auto& [user, grants] : existing)
      for (const Existing& grant : grants) {
        const auto customer = user_of_.find(grant.customer_id);
        if (grant.source != "manual" || grant.invoice_id.empty() || customer == user_of_.end()) continue;
        const auto nothing =
            std::make_shared<const Json>(Json{{"id", grant.invoice_id}, {"object", "invoice"}});
        sources_.emplace(grant.invoice_id,
                         Source{user, customer->first, "", "invoice", grant.invoice_id, nothing});
        reviewed_.insert(grant.invoice_id);
      }
  }

  void plan() {
    read_prices();
    std::map<std::string, std::vector<const Source*>> invoices;  // by subscription
    for (const auto& [id, source] : sources_) {
      if (source.type == "invoice" && may_grant(*source.object))
        invoices[fields::invoice_subscription(*source.object)].push_back(&source);
      else if (source.type == "checkout.session")
        if (auto grant = plan_checkout(*source.object, catalogues_[source.account].prices))
          keep(source, time_of(*source.object, "created").value_or(0), std::move(*grant));
    }
    for (auto& [subscription, sources] : invoices) plan_subscription(subscription, sources);
    for (const Trial& trial : trials_)
      if (auto grant = plan_trial(trial.subscription, catalogues_[trial.subscription.account].prices)) {
        const Source none{trial.user_id, trial.subscription.customer_id, "", "", "", nullptr};
        const Seconds start = trial.subscription.trial_start.value_or(0);
        keep(none, told(start, trial.subscription.test_clock), std::move(*grant));
      }
  }

  void read_prices() {
    std::set<mirror::Key> prices;
    const auto want = [&](const std::string& account, const std::string& id) {
      prices.insert({account, settings_.live, "price", id});
    };
    for (const auto& [id, source] : sources_)
      for (const std::string& price :
           source.type == "invoice" ? prices_of(*source.object) : prices_of_checkout(*source.object))
        want(source.account, price);
    for (const Trial& trial : trials_)
      for (const SubscriptionItem& item : trial.subscription.items)
        want(trial.subscription.account, item.price_id);
    catalogues_ = read_catalogues(prices, settings_.access.plans);
  }

  void plan_subscription(const std::string& subscription, std::vector<const Source*>& sources) {
    std::sort(sources.begin(), sources.end(), [](const Source* a, const Source* b) {
      return std::make_pair(granted_at(*a->object), a->id) < std::make_pair(granted_at(*b->object), b->id);
    });
    // The newest invoice tells what its prices say last.
    AccountCatalogue catalogue = catalogues_[sources.front()->account];
    std::vector<const Json*> objects;
    for (const Source* source : sources) {
      catalogue.add_embedded(*source->object);
      objects.push_back(source->object.get());
    }
    const bool sure = std::all_of(objects.begin(), objects.end(), [&](const Json* invoice) {
      const std::vector<std::string> prices = prices_of(*invoice);
      return std::all_of(prices.begin(), prices.end(),
                         [&](const std::string& price) { return catalogue.knows(price); });
    });
    if (sure) sure_.insert(subscription);
    for (PlannedGrant& grant : plan_invoices(objects, catalogue.prices)) {
      // What a change of plan grants can't be judged while it is not known what one of the plans grants.
      if (grant.source == "upgrade" && !sure) continue;
      const Source& source = sources_.at(grant.invoice_id);
      keep(source, paid_at(*source.object), std::move(grant));
    }
  }

  // What a test clock bills is new, whatever time it shows.
  Seconds told(Seconds at, const std::string& test_clock) {
    return settings_.grants_since || test_clock.empty() ? at : since();
  }
  Seconds paid_at(const Json& invoice) { return told(granted_at(invoice), test_clock_of(invoice)); }

  void keep(const Source& source, Seconds at, PlannedGrant grant) {
    grant.invoice_id = source.id;
    if (imported_.contains(source.account, source.id) ? !imported_.grants(source.account, grant)
                                                      : at < since())
      return;
    customer_of_[{source.user_id, grant.key}] = source.customer_id;
    plans_[source.user_id].push_back(std::move(grant));
  }

  Seconds since() { return settings_.grants_since.value_or(settings_.installed_at); }

  void read_payments() {
    std::vector<PaymentSubject> subjects;
    for (const auto& [id, source] : sources_)
      subjects.push_back({id, source.account, settings_.live, source.object.get()});
    for (auto& [id, facts] : read_payment_facts(subjects))
      reversals_[id] = read_reversal(*sources_.at(id).object, facts.charges, facts.credit_notes);
  }

  std::set<std::string> users_concerned() const {
    std::set<std::string> users;
    for (const auto& [user, plan] : plans_) users.insert(user);
    for (const std::string& id : reviewed_) users.insert(sources_.at(id).user_id);
    return users;
  }

  const Reversal& reversal_of(const std::string& invoice_id) const {
    static const Reversal nothing;
    const auto found = reversals_.find(invoice_id);
    return found == reversals_.end() ? nothing : found->second;
  }

  // Whether all is known of what the upgrades of an invoice depend on: what is not planned then is not due.
  bool is_certain(const std::string& invoice_id) {
    const Source& source = sources_.at(invoice_id);
    const Json& invoice = *source.object;
    return !imported_.contains(source.account, invoice_id) && may_grant(invoice) &&
           sure_.count(fields::invoice_subscription(invoice)) > 0 && paid_at(invoice) >= since();
  }

  // What the grants of one key should amount to. At the terms that they were made by, what is planned now. At
  // others no more than there is: a price that grants more today does not make old grants larger, nor one
  // that grants less smaller; but the share of them that is not due beside other invoices goes.
  Amount due_of(const std::vector<const Existing*>& chain, const PlannedGrant* plan) {
    const Existing& first = *chain.front();
    Amount total = 0;
    for (const Existing* grant : chain) total = to_amount(Wide{total} + grant->amount);
    if (plan == nullptr) return first.source == "upgrade" && is_certain(first.invoice_id) ? 0 : total;
    if (same_terms(plan->terms, first.terms)) return plan->amount;
    if (plan->full <= plan->amount) return total;
    return std::min(total, to_amount(Wide{first.full} * plan->amount / plan->full));
  }

  // An invoice that is only looked at beside another one grants no period at today's price.
  bool may_grant_now(const PlannedGrant& grant) const {
    return grant.invoice_id.empty() || grant.depends || reviewed_.count(grant.invoice_id) > 0;
  }

  std::map<std::string, Change> changes(const ExistingGrants& existing, const std::set<std::string>& users) {
    std::map<std::string, Change> changes;
    const std::vector<Existing> none;
    for (const std::string& user : users) {
      const auto found = existing.find(user);
      if (Change change = changes_of(user, found == existing.end() ? none : found->second); !change.empty())
        changes[user] = std::move(change);
    }
    return changes;
  }

  Change changes_of(const std::string& user, const std::vector<Existing>& grants) {
    std::map<std::string, const PlannedGrant*> planned;
    for (const PlannedGrant& grant : plans_[user]) planned.emplace(grant.key, &grant);
    std::map<std::string, std::vector<const Existing*>> chains;
    std::map<std::string, const Terms*> terms;  // by line
    std::set<std::string> by_hand;              // invoices
    for (const Existing& grant : grants) {
      terms.emplace(line_of(grant.key), &grant.terms);
      if (!grant.invoice_id.empty() && grant.key == manual_key(grant.invoice_id))
        by_hand.insert(grant.invoice_id);
      chains[grant.key.empty() ? '#' + std::to_string(grant.id) : first_key(grant.key)].push_back(&grant);
    }
    Change change;
    for (const auto& [key, chain] : chains) {
      const auto plan = planned.find(key);
      if (sources_.count(chain.front()->invoice_id) > 0)
        settle(chain, plan == planned.end() ? nullptr : plan->second, by_hand, change);
    }
    for (const auto& [key, grant] : planned) {
      const auto line = terms.find(line_of(key));
      if (grant->amount == 0 || chains.count(key) > 0 || by_hand.count(grant->invoice_id) > 0) continue;
      // At other terms a line may be granted by other keys.
      if (line != terms.end() && !same_terms(*line->second, grant->terms)) continue;
      if (may_grant_now(*grant))
        change.grants.push_back({*grant, reversal_target(reversal_of(grant->invoice_id), grant->amount,
                                                         settings_.clawback_debt)});
    }
    return change;
  }

  void settle(const std::vector<const Existing*>& chain, const PlannedGrant* plan,
              const std::set<std::string>& by_hand, Change& change) {
    std::vector<Amount> amounts;
    for (const Existing* grant : chain) amounts.push_back(grant->amount);
    const std::string& invoice_id = chain.front()->invoice_id;
    const ChainTargets now =
        settle_chain(amounts, due_of(chain, plan), reversal_of(invoice_id), settings_.clawback_debt);
    for (std::size_t i = 0; i < chain.size(); ++i) {
      const Existing& grant = *chain[i];
      const ReversalTarget& target = now.targets[i];
      const bool owes_more = target.target > grant.reversed + grant.target.debt_limit &&
                             target.debt_limit > grant.target.debt_limit;
      if (target.target != grant.target.target || owes_more || target.debt_limit < grant.target.debt_limit)
        change.reversals[grant.id] = target;
      // Another invoice may decide what a grant stands beside in its series.
      const bool judged = plan != nullptr && plan->depends && same_terms(plan->terms, grant.terms);
      if (judged && grant.cycle_start != instant(plan->cycle_start))
        change.places[grant.id] = instant(plan->cycle_start);
    }
    if (now.more == 0 || by_hand.count(invoice_id) > 0) return;
    Due due{*plan, now.more_target};
    due.grant.key = more_key(plan->key, chain.size());
    due.grant.amount = due.grant.full = now.more;
    change.grants.push_back(std::move(due));
  }

  std::set<std::string> apply(const std::set<std::string>& users) {
    std::set<std::string> wanted;
    for (const auto& [user, change] : changes(read_existing(users), users)) wanted.insert(user);
    store::Accounts accounts = store::lock(wanted, true, wait_, settings_);
    std::set<std::string> locked, busy;
    for (const std::string& user : wanted) (accounts.count(user) > 0 ? locked : busy).insert(user);
    // Again, as it is now that nobody else changes it.
    const std::map<std::string, Change> due = changes(read_existing(locked), locked);
    store::PerUser<std::int64_t> lots;
    store::PerUser<std::string> series;
    for (const auto& [user, change] : due) {
      for (const auto& [id, target] : change.reversals) lots.insert({user, id});
      for (const auto& [id, cycle_start] : change.places) lots.insert({user, id});
      for (const Due& one : change.grants)
        if (!one.grant.series.empty()) series.insert({user, one.grant.series});
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
    for (const auto& [id, cycle_start] : change.places) {
      Lot& lot = *account.find_lot(id);
      lot.cycle_start = cycle_start;
      lot.moved = account.changed = true;
    }
    for (const auto& [id, target] : change.reversals) reverse(account, id, target);
    std::vector<Due> grants = change.grants;
    std::sort(grants.begin(), grants.end(), [](const Due& one, const Due& other) {
      const PlannedGrant &a = one.grant, &b = other.grant;
      return std::tie(a.cycle_start, a.effective_at, a.key) < std::tie(b.cycle_start, b.effective_at, b.key);
    });
    for (const auto& [grant, target] : grants) {
      Note note;
      note.description = grant.description;
      note.metadata = {{"stripe_customer_id", customer_of_.at({account.user_id, first_key(grant.key)})}};
      if (!grant.invoice_id.empty())
        note.metadata[grant.source == "checkout" ? "checkout_session_id" : "invoice_id"] = grant.invoice_id;
      if (!grant.subscription_id.empty()) note.metadata["subscription_id"] = grant.subscription_id;
      if (!grant.price_id.empty()) note.metadata["price_id"] = grant.price_id;
      const std::int64_t id = account.grant(lot_of(grant, is_followed(grant, change), settings_), note);
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

  // Whether the same invoice grants the next interval.
  static bool is_followed(const PlannedGrant& grant, const Change& change) {
    return grant.expires_at && std::any_of(change.grants.begin(), change.grants.end(), [&](const Due& one) {
             const PlannedGrant& other = one.grant;
             return other.invoice_id == grant.invoice_id && other.series == grant.series &&
                    other.effective_at != 0 && other.effective_at == instant(*grant.expires_at);
           });
  }

  const std::set<Subject>& subjects_;
  const std::vector<Trial>& trials_;
  const mirror::Snapshots& brought_;
  const Settings& settings_;
  bool wait_;
  std::map<std::string, std::string> user_of_;          // by customer
  std::map<std::string, Source> sources_;               // by id
  std::set<std::string> reviewed_;                      // sources whose payments may have changed
  std::map<std::string, AccountCatalogue> catalogues_;  // by Connect account
  ImportedSources imported_;
  std::set<std::string> sure_;                              // subscriptions of which all prices are known
  std::map<std::string, std::vector<PlannedGrant>> plans_;  // by user
  std::map<std::pair<std::string, std::string>, std::string> customer_of_;  // by user and key
  std::map<std::string, Reversal> reversals_;                               // by source
};

}  // namespace

std::set<std::string> apply(const Touched& touched, const Settings& settings, bool wait) {
  if (touched.subjects.empty() && touched.trials.empty()) return {};
  return Follow(touched, settings, wait).run();
}

}  // namespace billing::credits::follow
