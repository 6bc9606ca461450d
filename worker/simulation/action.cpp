// What people do to their subscriptions: cancel, pause, schedule. The table of all of it is act().
#include <array>

#include "worker/simulation/account.hpp"

namespace billing::simulation {
namespace {

bool steady(const Subscription& s) { return s.status == "active" && !s.ending() && s.schedule == nullptr; }
bool changeable(const Subscription& s) { return s.runs() && s.schedule == nullptr; }
bool billed(const Subscription& s) { return s.runs() || s.status == "past_due"; }

}  // namespace

void Account::plan_action(Subscription& s) {
  later(kHour, 25 * kDay, [this, &s] {
    if (!s.live()) return;
    act(s);
    plan_action(s);
  });
}

void Account::act(Subscription& s) {
  struct Action {
    std::string_view name;
    unsigned weight;
    bool (*possible)(const Subscription&);
    void (Account::*happen)(Subscription&);
  };
  static constexpr std::array kActions = {
      Action{"add_item", 4,
             [](const Subscription& s) {
               return changeable(s) && s.items.size() == 1 && s.months() == 1 && !s.by_invoice;
             },
             &Account::add_item},
      Action{"cancel_at_date", 2,
             [](const Subscription& s) { return billed(s) && !s.ending() && !s.schedule; },
             &Account::cancel_at_date},
      Action{"cancel_at_period_end", 4,
             [](const Subscription& s) { return billed(s) && !s.ending() && !s.schedule; },
             &Account::cancel_at_period_end},
      Action{"cancel_now", 1, [](const Subscription& s) { return s.status != "incomplete"; },
             &Account::cancel_now},
      Action{"change_metadata", 4, [](const Subscription&) { return true; }, &Account::change_metadata},
      Action{"change_quantity", 6, changeable, &Account::change_quantity},
      Action{"end_trial", 3, [](const Subscription& s) { return s.status == "trialing" && !s.ending(); },
             &Account::end_trial},
      Action{"extend_trial", 2, [](const Subscription& s) { return s.status == "trialing" && !s.ending(); },
             &Account::extend_trial},
      Action{"keep", 12, [](const Subscription& s) { return billed(s) && s.ending(); }, &Account::keep},
      Action{"pause_collection", 2,
             [](const Subscription& s) { return billed(s) && s.pause_behavior.empty(); },
             &Account::pause_collection},
      // On demand since endive.
      Action{"pause_on_demand", 2,
             [](const Subscription& s) { return steady(s) && s.told_version == kEndive.name; },
             &Account::pause_on_demand},
      Action{"release_schedule", 4, [](const Subscription& s) { return billed(s) && s.schedule; },
             &Account::release_schedule},
      Action{"remove_item", 5, [](const Subscription& s) { return changeable(s) && s.items.size() == 2; },
             &Account::remove_item},
      Action{"resume_collection", 8, [](const Subscription& s) { return !s.pause_behavior.empty(); },
             &Account::resume_collection},
      Action{"resume_on_demand", 8, [](const Subscription& s) { return s.status == "paused"; },
             &Account::resume_on_demand},
      Action{"schedule_change", 3, steady, &Account::schedule_change},
      Action{"swap_plan", 7, changeable, &Account::swap_plan},
      Action{"switch_interval", 2, [](const Subscription& s) { return steady(s) && s.items.size() == 1; },
             &Account::switch_interval},
  };
  for (std::int64_t left = burst_ ? random_.between(2, 5) : 1; left > 0 && s.live(); --left) {
    unsigned sum = 0;
    for (const Action& action : kActions) sum += action.possible(s) ? action.weight : 0;
    std::uint64_t chosen = random_.below(sum);
    for (const Action& action : kActions) {
      if (!action.possible(s)) continue;
      if (chosen < action.weight) {
        note(action.name);
        (this->*action.happen)(s);
        break;
      }
      chosen -= action.weight;
    }
  }
}

void Account::cancel_at_date(Subscription& s) {
  const Seconds when = now_ + random_.between(3 * kDay, 70 * kDay);
  change(s, [&] {
    s.cancel_at = when;
    s.canceled_at = now_;
    s.cancellation_reason = "cancellation_requested";
  });
  at(when, [this, &s, when] {
    if (!s.live() || s.cancel_at != when) return;
    note("ended");
    end(s, "cancellation_requested");
  });
}

void Account::cancel_at_period_end(Subscription& s) {
  // Flexible billing may say it by the date alone.
  const bool by_date = shape_.version.basil && random_.chance(0.3);
  change(s, [&] {
    s.cancel_at_period_end = !by_date;
    s.cancel_at = s.period.end;
    s.canceled_at = now_;
    s.cancellation_reason = "cancellation_requested";
  });
}

void Account::keep(Subscription& s) {
  change(s, [&] {
    s.cancel_at_period_end = false;
    s.cancel_at.reset();
    s.canceled_at.reset();
    s.cancellation_reason.clear();
  });
}

void Account::cancel_now(Subscription& s) { end(s, "cancellation_requested"); }

void Account::end_trial(Subscription& s) {
  BillPtr bill;
  change(s, [&] {
    s.status = "active";
    s.trial_end = s.anchor = now_;
    begin_period(s, now_);
    bill = make_bill(s, "subscription_update");
    bill->ends_trial = true;
    bill->invoice.lines = period_lines(s, s.period);
    s.latest_invoice = bill->invoice.id;
  });
  tell("customer.subscription.trial_will_end", s, s.status);
  tell("invoice.created", bill->invoice);
  finalize(bill);
  collect(bill);
  plan_cycle(s);
}

void Account::extend_trial(Subscription& s) {
  change(s, [&] { s.trial_end = s.anchor = s.period.end = *s.trial_end + 7 * kDay; });
  plan_cycle(s);
}

void Account::pause_collection(Subscription& s) {
  constexpr std::array kBehaviors = {"keep_as_draft", "mark_uncollectible", "void"};
  const std::string behavior = random_.pick(kBehaviors);
  Time until;
  if (random_.chance(0.5)) until = now_ + random_.between(3 * kDay, 60 * kDay);
  change(s, [&] {
    s.pause_behavior = behavior;
    s.resumes_at = until;
  });
  if (until)
    at(*until, [this, &s, until] {
      if (s.live() && s.resumes_at == until) resume_collection(s);
    });
}

void Account::resume_collection(Subscription& s) {
  change(s, [&] {
    s.pause_behavior.clear();
    s.resumes_at.reset();
  });
}

void Account::pause_on_demand(Subscription& s) { pause(s); }

void Account::resume_on_demand(Subscription& s) { resume(s); }

void Account::schedule_change(Subscription& s) {
  tick();
  const std::vector<const Price*>& plans = world_.catalogue.plans(s.months());
  Schedule& schedule = schedules_.emplace_back();
  schedule.id = random_.id("sub_sched_");
  schedule.customer = s.customer;
  schedule.subscription = s.id;
  schedule.created = now_;
  if (random_.chance(0.2)) schedule.end_behavior = "cancel";
  const Item& item = s.items.front();
  const Price* next = random_.pick(plans);
  const std::int64_t quantity = random_.between(1, 5);
  const Seconds end = next_end(s.anchor, s.months(), s.period.end);
  schedule.phases.push_back({item.price, item.quantity, s.period});
  schedule.phases.push_back({next, quantity, {s.period.end, end}});
  tell("subscription_schedule.created", schedule);
  change(s, [&] { s.schedule = &schedule; });
}

void Account::release_schedule(Subscription& s) {
  set_schedule_over(s, "released");
  change(s, [&] { s.schedule = nullptr; });
}

void Account::set_schedule_over(Subscription& s, const char* status) {
  note(std::string("schedule_") + status);
  tick();
  s.schedule->status = status;
  s.schedule->over = now_;
  tell(std::string("subscription_schedule.") + status, *s.schedule);
}

void Account::change_metadata(Subscription& s) {
  const std::string value = std::to_string(random_.below(100));
  const bool removes = s.metadata.count("note") > 0 && random_.chance(0.4);
  change(s, [&] {
    if (removes)
      s.metadata.erase("note");
    else
      s.metadata["note"] = value;
  });
}

}  // namespace billing::simulation
