#include "functions/subscription_follow.hpp"

#include "functions/awaited_subscriptions.hpp"
#include "functions/concern.hpp"
#include "functions/mirror.hpp"
#include "functions/trials.hpp"

namespace billing::subscriptions {

namespace {

class Follow {
 public:
  explicit Follow(const Following& following) : following_(following) {}

  void run(const Scope& scope) {
    find_touched();
    std::vector<Owned> rows;
    for (Subscription& subscription : mirror::subscriptions(touched_))
      if (const std::string* user = user_of(subscription.customer_id))
        rows.push_back({*user, std::move(subscription)});
    store(rows);
    awaited::settle(rows);
    awaited::follow(awaiting_, scope);
    // An event that comes late may be the only one that tells of a trial.
    for (const Work* work : following_.works)
      if (const std::string* user =
              work->event->object_type == "subscription" ? user_of(work->customer) : nullptr)
        rows.push_back(told_by(*work, *user));
    trials::record(rows);
  }

 private:
  const std::string* user_of(const std::string& customer) const {
    const auto user = following_.user_of.find(customer);
    return user == following_.user_of.end() ? nullptr : &user->second;
  }

  void whole(const std::string& customer) {
    touched_.customers.insert(customer);
    touched_.whole_customers.insert(customer);
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
      if (awaited::may_buy(event) || is_deletion(event.type)) await(work->customer);
      const std::string subscription = subscription_of(event);
      if (!subscription.empty()) {
        touched_.customers.insert(work->customer);
        touched_.subscriptions.insert(subscription);
      } else if (is_deletion(event.type) || tells_of_payback(event) || names_clock(event)) {
        whole(work->customer);
      }
    }
  }

  const Following& following_;
  mirror::Touched touched_;
  std::map<std::string, std::string> awaiting_;  // by customer
};

}  // namespace

void follow(const Following& following, const Scope& scope) { Follow(following).run(scope); }

Owned told_by(const Work& work, const std::string& user_id) {
  Owned told{user_id, read_subscription(work.event->object)};
  told.subscription.account = work.event->account;
  told.subscription.customer_id = work.customer;
  return told;
}

}  // namespace billing::subscriptions
