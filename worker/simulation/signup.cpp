// Customers: how they come, subscribe, change and go.
#include <array>

#include "worker/simulation/account.hpp"

namespace billing::simulation {

void Account::arrive() {
  Customer& customer = make_customer();
  if (random_.chance(0.06)) {
    abandon_checkout(customer);
    if (random_.chance(0.3)) return;
  }
  subscribe(customer);
  if (random_.chance(0.2))
    later(2 * kDay, 80 * kDay, [this, &customer] {
      if (!customer.deleted) subscribe(customer);
    });
  if (random_.chance(0.6)) later(kHour, 60 * kDay, [this, &customer] { change_customer(customer); });
  if (random_.chance(0.06)) later(kDay, 90 * kDay, [this, &customer] { buy_once(customer); });
  if (random_.chance(0.04)) later(10 * kDay, 150 * kDay, [this, &customer] { delete_customer(customer); });
}

Customer& Account::make_customer() {
  note("customer");
  Customer& customer = customers_.emplace_back();
  customer.id = random_.id("cus_");
  customer.created = now_;
  customer.name = "Customer " + user_id_.substr(5);
  customer.email = user_id_ + "@example.org";
  customer.evidence = static_cast<Evidence>(random_.weighted({40, 10, 20, 8, 14, 8}));
  const bool named_later = random_.chance(0.25);
  if (customer.evidence == Evidence::customer && !named_later) customer.metadata["user_id"] = user_id_;
  tell("customer.created", customer);
  if (customer.evidence == Evidence::customer && named_later)
    later(kHour, 20 * kDay, [this, &customer] {
      if (!customer.deleted)
        update("customer.updated", customer, [&] { customer.metadata["user_id"] = user_id_; });
    });
  if (random_.chance(0.9)) {
    PaymentMethod method;
    method.id = random_.id("pm_");
    method.customer = customer.id;
    method.last4 = std::to_string(random_.between(1000, 9999));
    method.expires = 2030;
    method.created = now_;
    tell("payment_method.attached", method);
    update("customer.updated", customer, [&] { customer.payment_method = method.id; });
  }
  return customer;
}

void Account::abandon_checkout(Customer& customer) {
  note("checkout_abandoned");
  CheckoutSession session;
  session.id = random_.id("cs_test_");
  session.email = customer.email;
  session.status = "expired";
  session.payment_status = "unpaid";
  session.created = now_;
  session.amount = 900;
  tell("checkout.session.expired", session);
}

void Account::subscribe(Customer& customer) {
  note(subscriptions_.empty() ? "subscribe" : "subscribe_again");
  tick();
  Subscription& s = subscriptions_.emplace_back();
  s.owner = &customer;
  s.id = random_.id("sub_");
  s.customer = customer.id;
  s.created = s.anchor = now_;
  s.payment_method = customer.payment_method;
  if (customer.evidence == Evidence::subscription) s.metadata["user_id"] = user_id_;
  if (random_.chance(0.3)) s.metadata["campaign"] = "spring";
  choose_items(s);
  switch (random_.weighted({30, 25, 45})) {
    case 0:
      start_trial(s);
      break;
    case 1:
      start_incomplete(s);
      break;
    default:
      start_paid(s);
  }
  plan_action(s);
}

void Account::choose_items(Subscription& s) {
  const int months = random_.chance(0.2) ? 12 : 1;
  const auto add = [&](const Price* price, std::int64_t quantity) {
    s.items.push_back({random_.id("si_"), price, quantity, now_, now_});
  };
  add(random_.pick(world_.catalogue.plans(months)), 1);
  if (months == 1 && random_.chance(0.25)) add(&world_.catalogue.seats(), random_.between(1, 20));
}

void Account::start_trial(Subscription& s) {
  constexpr std::array kDays = {7, 14, 30};
  s.status = "trialing";
  s.trial_start = now_;
  s.trial_end = s.anchor = now_ + random_.pick(kDays) * kDay;
  s.period = {now_, *s.trial_end};
  std::int64_t credits = 0;
  for (const Item& item : s.items) credits += item.price->trial_credits * item.quantity;
  if (trial_credits_ == 0) trial_credits_ = credits;
  const BillPtr bill = make_bill(s, "subscription_create");
  s.latest_invoice = bill->invoice.id;
  tell("customer.subscription.created", s, "new");
  tell("invoice.created", bill->invoice);
  finalize(bill);
  pay(bill);
  complete_checkout(s);
  plan_cycle(s);
}

void Account::start_paid(Subscription& s) {
  s.by_invoice = random_.chance(0.12);
  s.status = s.by_invoice || random_.chance(0.5) ? "active" : "incomplete";
  begin_period(s, now_);
  const BillPtr bill = make_bill(s, "subscription_create");
  s.latest_invoice = bill->invoice.id;
  tell("customer.subscription.created", s, "new");
  tell("invoice.created", bill->invoice);
  finalize(bill);
  if (s.by_invoice)
    collect(bill);
  else
    pay(bill);
  complete_checkout(s);
  plan_cycle(s);
}

void Account::start_incomplete(Subscription& s) {
  s.status = "incomplete";
  begin_period(s, now_);
  const BillPtr bill = make_bill(s, "subscription_create");
  s.latest_invoice = bill->invoice.id;
  tell("customer.subscription.created", s, "new");
  tell("invoice.created", bill->invoice);
  finalize(bill);
  s.overdue.insert(bill->invoice.id);
  if (random_.chance(0.5)) {
    fail(*bill);
    update("invoice.updated", bill->invoice, [&] { ++bill->invoice.attempts; });
    tell("invoice.payment_failed", bill->invoice);
  } else {
    ask_for_action(bill);
  }
  if (random_.chance(0.65))
    later(30, 22 * kHour, [this, &s, bill] {
      if (s.status != "incomplete") return;
      pay(bill);
      complete_checkout(s);
      plan_cycle(s);
    });
  at(s.created + 23 * kHour, [this, &s, bill] {
    if (s.status != "incomplete") return;
    change(s, [&] { s.status = "incomplete_expired"; });
    void_bill(bill);
    if (random_.chance(0.3))
      later(kHour, 20 * kDay, [this, &s] {
        if (!s.owner->deleted) subscribe(*s.owner);
      });
  });
}

void Account::complete_checkout(Subscription& s) {
  const Evidence evidence = s.owner->evidence;
  const bool names = evidence == Evidence::checkout || evidence == Evidence::late_checkout;
  if (!names && !random_.chance(0.4)) return;
  CheckoutSession session;
  session.id = random_.id("cs_test_");
  session.customer = s.customer;
  session.subscription = s.id;
  session.invoice = s.latest_invoice;
  session.email = s.owner->email;
  session.created = s.created;
  if (names) session.user_id = user_id_;
  if (s.status == "trialing") session.payment_status = "no_payment_required";
  for (const Item& item : s.items) session.amount += item.price->unit_amount * item.quantity;
  held_back_ = evidence == Evidence::late_checkout;
  tell("checkout.session.completed", session);
  held_back_ = false;
}

void Account::change_customer(Customer& customer) {
  if (customer.deleted) return;
  note("customer_changed");
  constexpr std::array kCountries = {"IE", "DE", "FR", "US"};
  for (std::int64_t changes = burst_ ? random_.between(2, 4) : 1; changes > 0; --changes) {
    const std::string number = std::to_string(random_.below(1000));
    const std::string country = random_.pick(kCountries);
    const auto what = random_.below(5);
    update("customer.updated", customer, [&] {
      if (what == 0) customer.email = user_id_ + "+" + number + "@example.org";
      if (what == 1) customer.phone = "+3531555" + number;
      if (what == 2) customer.country = country;
      if (what == 3) customer.metadata["note"] = number;
      if (what == 4) customer.metadata.erase("note");
    });
  }
  later(5 * kDay, 90 * kDay, [this, &customer] { change_customer(customer); });
}

void Account::delete_customer(Customer& customer) {
  note("customer_deleted");
  for (Subscription& s : subscriptions_)
    if (s.owner == &customer && s.live()) end(s, "cancellation_requested");
  customer.deleted = true;
  tick();
  tell("customer.deleted", customer);
  if (random_.chance(0.5)) later(kDay, 40 * kDay, [this] { subscribe(make_customer()); });
}

void Account::buy_once(Customer& customer) {
  if (customer.deleted) return;
  note("one_off_invoice");
  const BillPtr bill = std::make_shared<Bill>();
  bill->customer = &customer;
  Invoice& invoice = bill->invoice;
  invoice.id = random_.id("in_");
  invoice.customer = customer.id;
  invoice.reason = "manual";
  invoice.created = now_;
  invoice.period = {now_, now_};
  Line line;
  line.id = random_.id("il_");
  line.description = "An hour of advice";
  line.price = &world_.catalogue.seats();
  line.quantity = 10;
  line.amount = 10 * line.price->unit_amount;
  line.period = {now_, now_};
  invoice.lines.push_back(std::move(line));
  tell("invoice.created", invoice);
  finalize(bill);
  switch (random_.weighted({60, 25, 15})) {
    case 0:
      later(0, 10 * kDay, [this, bill] { pay(bill); });
      break;
    case 1:
      later(kHour, 10 * kDay, [this, bill] { void_bill(bill); });
      break;
    default:
      later(30 * kDay, 60 * kDay, [this, bill] { write_off(bill); });
  }
}

}  // namespace billing::simulation
