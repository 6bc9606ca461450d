// One user's whole life as a customer: what happens when, and the events that Stripe sends about it.
//
// Things that happen change the objects and put what follows from them on the agenda: a subscription its next
// renewal, a declined payment its next attempt. Every change of an object is told by an event.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "worker/simulation/calendar.hpp"
#include "worker/simulation/catalogue.hpp"
#include "worker/simulation/scenario.hpp"

namespace billing::simulation {

struct World {
  const Scenario& scenario;
  const Catalogue& catalogue;
  Tally& tally;
};

// An invoice with what was done to get it paid.
struct Bill {
  Invoice invoice;
  PaymentIntent intent;
  Charge charge;
  Customer* customer = nullptr;
  Subscription* subscription = nullptr;  // null for a one-off
  std::shared_ptr<Paid> paid;
  bool ends_trial = false;
};
using BillPtr = std::shared_ptr<Bill>;

class Account {
 public:
  Account(const World& world, std::uint64_t number);
  Account(const Account&) = delete;
  Account& operator=(const Account&) = delete;

  // When the next thing happens; kEndOfTime when nothing more does.
  Seconds next() const { return agenda_.empty() ? kEndOfTime : agenda_.begin()->first; }
  // Lets it happen.
  void step(std::vector<Emitted>& events);

  const std::string& user_id() const { return user_id_; }
  const std::deque<Customer>& customers() const { return customers_; }
  const std::deque<Subscription>& subscriptions() const { return subscriptions_; }
  // Whether an event has named the user of the customer.
  bool is_named(const Customer& customer) const { return named_.count(customer.id) > 0; }
  bool livemode() const { return shape_.livemode; }
  // Of the first trial that brought any: those that follow bring none.
  std::int64_t trial_credits() const { return trial_credits_; }

 private:
  // The agenda, the clock and the telling: account.cpp.
  void at(Seconds when, std::function<void()> happening);
  void later(Seconds least, Seconds most, std::function<void()> happening);
  // Two changes of one object never share a second, unless everything happens in a burst.
  void tick() { now_ += burst_ ? 0 : 1; }
  void note(std::string_view happening) { Tally::count(world_.tally.happenings, happening); }
  void emit(std::string_view type, const Json& object, const Json& previous = nullptr);
  void emit_noise();
  template <typename Object>
  void tell(std::string_view type, const Object& object) {
    emit(type, to_json(object, shape_));
    snapshot(object);
  }
  // What the API answers from now on, in the version that it is asked in.
  template <typename Object>
  void snapshot(const Object& object) {
    if (world_.scenario.snapshots)
      events_->back().snapshot = to_json(object, Shape{kClover, shape_.livemode}).dump();
  }
  // Changes an object and tells how it was before. Nothing is told when nothing has changed.
  template <typename Object, typename Change>
  bool update(std::string_view type, Object& object, Change make) {
    const Json before = to_json(object, shape_);
    tick();
    make();
    const Json after = to_json(object, shape_);
    const Json previous = difference(before, after);
    if (previous.empty()) return false;
    emit(type, after, previous);
    snapshot(object);
    return true;
  }
  template <typename Change>
  void change(Subscription& s, Change make) {
    const std::string was = s.status;
    if (update("customer.subscription.updated", s, make)) told(s, was);
  }
  void tell(std::string_view type, Subscription& s, const std::string& status_before) {
    emit(type, to_json(s, shape_));
    snapshot(s);
    told(s, status_before);
  }
  void told(Subscription& s, const std::string& status_before);

  // Customers and how they come and go: signup.cpp.
  void arrive();
  Customer& make_customer();
  void abandon_checkout(Customer& customer);
  void subscribe(Customer& customer);
  void choose_items(Subscription& s);
  void start_trial(Subscription& s);
  void start_paid(Subscription& s);
  void start_incomplete(Subscription& s);
  void complete_checkout(Subscription& s);
  void change_customer(Customer& customer);
  void delete_customer(Customer& customer);
  void buy_once(Customer& customer);

  // From period to period, and the end: cycle.cpp.
  void plan_cycle(Subscription& s);
  void announce(const Subscription& s);
  void begin_period(Subscription& s, Seconds start);
  void renew(Subscription& s);
  void trial_over(Subscription& s);
  void enter_phase(Subscription& s);
  void pause(Subscription& s);
  void resume(Subscription& s);
  void end(Subscription& s, const char* reason);

  // Invoices: bill.cpp.
  BillPtr make_bill(Subscription& s, const char* reason);
  std::vector<Line> period_lines(const Subscription& s, Period period);
  void finalize(const BillPtr& bill);
  void settle_cycle(const BillPtr& bill);
  void void_bill(const BillPtr& bill);
  void write_off(const BillPtr& bill);

  // Their payment: payment.cpp.
  void collect(const BillPtr& bill);
  void pay(const BillPtr& bill);
  void fail(Bill& bill);
  void decline(const BillPtr& bill);
  void ask_for_action(const BillPtr& bill);
  void retry(const BillPtr& bill);
  void exhaust(const BillPtr& bill);
  void note_paid(Bill& bill);
  void mark_overdue(const Bill& bill);
  void mark_settled(const Bill& bill);
  void set_delinquent(const Bill& bill, bool delinquent);

  // Money that goes back: refund.cpp.
  void maybe_return(const BillPtr& bill);
  void refund(const BillPtr& bill, std::int64_t amount, bool fails);
  void set_refund_status(const BillPtr& bill, std::size_t index, const char* status);
  void follow_refunds(Bill& bill);
  void dispute(const BillPtr& bill, bool warning);

  // What people do to their subscriptions: action.cpp, item_action.cpp.
  void plan_action(Subscription& s);
  void act(Subscription& s);
  void add_item(Subscription& s);
  void cancel_at_date(Subscription& s);
  void cancel_at_period_end(Subscription& s);
  void cancel_now(Subscription& s);
  void change_items(Subscription& s, const std::function<void()>& edit);
  void change_metadata(Subscription& s);
  void change_quantity(Subscription& s);
  void end_trial(Subscription& s);
  void extend_trial(Subscription& s);
  void keep(Subscription& s);
  void pause_collection(Subscription& s);
  void pause_on_demand(Subscription& s);
  void prorate(Subscription& s, const std::vector<Item>& before);
  void release_schedule(Subscription& s);
  void remove_item(Subscription& s);
  void resume_collection(Subscription& s);
  void resume_on_demand(Subscription& s);
  void schedule_change(Subscription& s);
  void set_schedule_over(Subscription& s, const char* status);
  void swap_plan(Subscription& s);
  void switch_interval(Subscription& s);

  World world_;
  Random random_;
  Shape shape_;
  std::string user_id_;
  Seconds now_ = 0;
  bool burst_ = false;
  bool held_back_ = false;  // what is told now is delivered last
  std::multimap<Seconds, std::function<void()>> agenda_;
  std::vector<Emitted>* events_ = nullptr;
  std::deque<Customer> customers_;  // what the agenda refers to does not move
  std::deque<Subscription> subscriptions_;
  std::deque<Schedule> schedules_;
  std::set<std::string> named_;
  std::int64_t trial_credits_ = 0;
};

}  // namespace billing::simulation
