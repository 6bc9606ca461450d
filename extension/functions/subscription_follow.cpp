#include "functions/subscription_follow.hpp"

#include "functions/awaited_subscriptions.hpp"
#include "functions/concern.hpp"
#include "functions/mirror.hpp"
#include "functions/paid_through.hpp"
#include "functions/trials.hpp"

namespace billing::subscriptions {

namespace {

class Follow {
 public:
  explicit Follow(const Following& following) : following_(following) {}

  std::set<std::string> run(const Scope& scope) {
    find_touched();
    std::vector<Owned> rows;
    for (Subscription& subscription : mirror::subscriptions(touched_, following_.brought))
      if (const std::string* user = user_of(subscription.customer_id))
        rows.push_back({*user, std::move(subscription)});
    const std::vector<Owned> fresh = keep_paid_through(rows);
    follow_invoices(rows);
    changed_.merge(store(rows));
    awaited::settle(fresh);
    awaited::follow(awaiting_, scope);
    for (const auto& [customer, user] : awaiting_) changed_.insert(user);
    // An event that comes late may be the only one that tells of a trial.
    for (const Work* work : following_.works)
      if (const std::string* user =
              work->event->object_type == "subscription" ? user_of(work->customer) : nullptr)
        rows.push_back(told_by(*work, *user));
    trials::record(rows);
    return std::move(changed_);
  }

 private:
  // Only invoices, and what became of their payments, say what is paid: where none is told of, what a row has
  // stands. Returns the rows that are not there yet.
  std::vector<Owned> keep_paid_through(std::vector<Owned>& rows) {
    std::vector<Owned> fresh;
    for (auto& [user, subscription] : rows) {
      const auto stored = find_paid_through(user, subscription.id);
      if (!stored) fresh.push_back({user, subscription});
      if (!stored || touched_.whole_customers.count(subscription.customer_id) > 0)
        invoiced_[subscription.id] = user;
      else
        subscription.paid_through = *stored;
    }
    return fresh;
  }

  // An invoice changes nothing else of a subscription's row.
  void follow_invoices(std::vector<Owned>& rows) {
    std::set<std::string> ids;
    for (const auto& [id, user] : invoiced_) ids.insert(id);
    const std::map<std::string, Seconds> paid = paid_through(ids, following_.brought);
    const auto paid_until = [&](const std::string& id) {
      const auto found = paid.find(id);
      return found == paid.end() ? std::nullopt : std::optional(found->second);
    };
    for (auto& [user, subscription] : rows)
      if (invoiced_.erase(subscription.id) > 0) subscription.paid_through = paid_until(subscription.id);
    std::vector<Paid> news;
    for (const auto& [id, user] : invoiced_) {
      const auto stored = find_paid_through(user, id);
      if (!stored || *stored == paid_until(id)) continue;
      news.push_back({user, id, paid_until(id)});
      changed_.insert(user);
    }
    store_paid_through(news);
  }

  const std::string* user_of(const std::string& customer) const {
    const auto user = following_.user_of.find(customer);
    return user == following_.user_of.end() ? nullptr : &user->second;
  }

  void whole(const std::string& customer) {
    touched_.customers.insert(customer);
    touched_.whole_customers.insert(customer);
    if (const std::string* user = user_of(customer)) changed_.insert(*user);
  }

  void touch(const std::string& customer, const std::string& subscription) {
    touched_.customers.insert(customer);
    touched_.subscriptions.insert(subscription);
  }

  void await(const std::string& customer) {
    if (const std::string* user = user_of(customer)) awaiting_.emplace(customer, *user);
  }

  void find_touched() {
    for (const std::string& customer : following_.whole_customers) {
      if (user_of(customer) == nullptr) continue;
      whole(customer);
      await(customer);
    }
    for (const Work* work : following_.works) {
      const Event& event = *work->event;
      const std::string* user = user_of(work->customer);
      if (user == nullptr) continue;
      if (awaited::may_buy(event) || is_deletion(event.type)) await(work->customer);
      const std::string subscription = subscription_of(event);
      if (!subscription.empty() && event.object_type == "invoice") {
        invoiced_[subscription] = *user;
        if (!find_paid_through(*user, subscription)) touch(work->customer, subscription);
      } else if (!subscription.empty()) {
        touch(work->customer, subscription);
      } else if (is_deletion(event.type) || names_clock(event)) {
        whole(work->customer);
      } else if (tells_of_payback(event)) {
        for (const std::string& id : ids_of(*user)) invoiced_[id] = *user;
      }
    }
  }

  const Following& following_;
  mirror::Touched touched_;
  std::map<std::string, std::string> awaiting_;  // users, by customer
  std::map<std::string, std::string> invoiced_;  // users, by subscriptions of which another time may be paid
  std::set<std::string> changed_;                // users
};

}  // namespace

std::set<std::string> follow(const Following& following, const Scope& scope) {
  return Follow(following).run(scope);
}

Owned told_by(const Work& work, const std::string& user_id) {
  Owned told{user_id, read_subscription(work.event->object)};
  told.subscription.account = work.event->account;
  told.subscription.customer_id = work.customer;
  return told;
}

}  // namespace billing::subscriptions
