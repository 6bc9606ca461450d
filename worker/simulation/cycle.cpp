// From period to period, and the end of a subscription.
#include "worker/simulation/account.hpp"

namespace billing::simulation {

// Puts the end of the current period on the agenda, in place of what was planned before.
void Account::plan_cycle(Subscription& s) {
  const unsigned cycle = ++s.cycle;
  const auto still = [this, &s, cycle](void (Account::*happening)(Subscription&)) {
    return [this, &s, cycle, happening] {
      if (s.cycle == cycle && s.live()) (this->*happening)(s);
    };
  };
  if (s.status == "trialing" && s.period.end - now_ > 3 * kDay)
    at(s.period.end - 3 * kDay, [this, &s, cycle] {
      if (s.cycle == cycle && s.status == "trialing")
        tell("customer.subscription.trial_will_end", s, s.status);
    });
  if (s.period.end - now_ > 4 * kDay)
    at(s.period.end - 3 * kDay, [this, &s, cycle] {
      if (s.cycle == cycle && s.runs() && !s.ending()) announce(s);
    });
  at(s.period.end, still(&Account::renew));
}

void Account::announce(const Subscription& s) {
  Invoice upcoming;
  upcoming.customer = s.customer;
  upcoming.subscription = s.id;
  upcoming.subscription_metadata = s.metadata;
  upcoming.reason = "upcoming";
  upcoming.created = s.period.end;
  upcoming.period = s.period;
  upcoming.lines = period_lines(s, {s.period.end, next_end(s.anchor, s.months(), s.period.end)});
  tell("invoice.upcoming", upcoming);
}

void Account::begin_period(Subscription& s, Seconds start) {
  s.period = {start, next_end(s.anchor, s.months(), start)};
  for (Item& item : s.items) item.start = start;
}

void Account::renew(Subscription& s) {
  if (s.status == "paused" || s.status == "incomplete") return;
  if (s.cancel_at_period_end || (s.cancel_at && *s.cancel_at <= s.period.end)) {
    note("ended");
    return end(s, "cancellation_requested");
  }
  if (s.status == "trialing") return trial_over(s);
  bool changes_plan = false;
  bool released = false;
  if (s.schedule != nullptr) {
    Schedule& schedule = *s.schedule;
    changes_plan = schedule.current + 1 < schedule.phases.size();
    released = !changes_plan && schedule.end_behavior == "release";
    if (changes_plan) {
      note("schedule_phase");
      update("subscription_schedule.updated", schedule, [&] { ++schedule.current; });
    } else if (released) {
      set_schedule_over(s, "released");
    } else {
      set_schedule_over(s, "completed");
      return end(s, "cancellation_requested");
    }
  }
  BillPtr bill;
  change(s, [&] {
    if (changes_plan) enter_phase(s);
    if (released) s.schedule = nullptr;
    begin_period(s, s.period.end);
    bill = make_bill(s, "subscription_cycle");
    s.latest_invoice = bill->invoice.id;
  });
  tell("invoice.created", bill->invoice);
  later(kHour, kHour + 600, [this, bill] { settle_cycle(bill); });
  plan_cycle(s);
  // Some change their minds when they hear of the charge to come.
  if (random_.chance(0.015))
    later(60, 3000, [this, &s] {
      if (s.live()) end(s, "cancellation_requested");
    });
}

void Account::enter_phase(Subscription& s) {
  const Phase& phase = s.schedule->phases[s.schedule->current];
  s.items.front().price = phase.price;
  s.items.front().quantity = phase.quantity;
  s.items_changed = now_;
}

void Account::trial_over(Subscription& s) {
  const auto fate = random_.weighted({78, 12, 10});
  if (fate == 1) return pause(s);
  if (fate == 2) return end(s, "cancellation_requested");
  BillPtr bill;
  change(s, [&] {
    s.status = "active";
    s.anchor = *s.trial_end;
    begin_period(s, *s.trial_end);
    bill = make_bill(s, "subscription_cycle");
    s.latest_invoice = bill->invoice.id;
  });
  tell("invoice.created", bill->invoice);
  later(kHour, kHour + 600, [this, bill] { settle_cycle(bill); });
  plan_cycle(s);
}

void Account::pause(Subscription& s) {
  ++s.cycle;
  change(s, [&] { s.status = "paused"; });
  tell("customer.subscription.paused", s, s.status);
  const bool returns = random_.chance(0.65);
  later(2 * kDay, 40 * kDay, [this, &s, returns] {
    if (s.status != "paused") return;
    if (returns)
      resume(s);
    else
      end(s, "cancellation_requested");
  });
}

void Account::resume(Subscription& s) {
  if (s.status != "paused") return;
  BillPtr bill;
  change(s, [&] {
    s.status = "active";
    s.anchor = now_;
    begin_period(s, now_);
    bill = make_bill(s, "subscription_cycle");
    s.latest_invoice = bill->invoice.id;
  });
  tell("customer.subscription.resumed", s, s.status);
  tell("invoice.created", bill->invoice);
  finalize(bill);
  collect(bill);
  plan_cycle(s);
}

void Account::end(Subscription& s, const char* reason) {
  const std::string was = s.status;
  ++s.cycle;
  if (s.schedule != nullptr && s.schedule->running()) set_schedule_over(s, "canceled");
  tick();
  s.status = "canceled";
  s.ended_at = now_;
  if (!s.canceled_at) s.canceled_at = now_;
  s.cancellation_reason = reason;
  tell("customer.subscription.deleted", s, was);
  Customer& customer = *s.owner;
  if (random_.chance(0.35))
    later(2 * kDay, 40 * kDay, [this, &customer] {
      if (!customer.deleted) subscribe(customer);
    });
}

}  // namespace billing::simulation
