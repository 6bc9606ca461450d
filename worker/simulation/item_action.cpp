// Changes of what a subscription consists of: plans, quantities, items, and the prorations they lead to.
#include <algorithm>

#include "worker/simulation/account.hpp"

namespace billing::simulation {

// What was paid for and not used is credited, what comes in its place is charged for the rest of the period.
void Account::prorate(Subscription& s, const std::vector<Item>& before) {
  const Seconds length = s.period.end - s.period.start;
  const Seconds left = std::clamp<Seconds>(s.period.end - now_, 0, length);
  const auto add = [&](const Item& item, bool credit) {
    Line line;
    line.id = random_.id("il_");
    line.item = item.id;
    line.description = (credit ? "Unused time on " : "Remaining time on ") + item.price->nickname;
    line.price = item.price;
    line.quantity = item.quantity;
    line.amount = (credit ? -1 : 1) * item.price->unit_amount * item.quantity * left / length;
    line.period = {now_, s.period.end};
    line.proration = true;
    s.pending.push_back(std::move(line));
  };
  const auto same = [](const Item& a) {
    return [&a](const Item& b) { return a.id == b.id && a.price == b.price && a.quantity == b.quantity; };
  };
  for (const Item& item : before)
    if (std::none_of(s.items.begin(), s.items.end(), same(item))) add(item, true);
  for (const Item& item : s.items)
    if (std::none_of(before.begin(), before.end(), same(item))) add(item, false);
}

void Account::change_items(Subscription& s, const std::function<void()>& edit) {
  const bool billed_now = s.status == "active" && random_.chance(0.4);
  BillPtr bill;
  change(s, [&] {
    const std::vector<Item> before = s.items;
    edit();
    s.items_changed = now_;
    if (s.status != "active") return;
    prorate(s, before);
    if (!billed_now || s.pending.empty()) return;
    note("prorated_at_once");
    bill = make_bill(s, "subscription_update");
    s.latest_invoice = bill->invoice.id;
  });
  if (!bill) return;
  tell("invoice.created", bill->invoice);
  finalize(bill);
  collect(bill);
}

void Account::swap_plan(Subscription& s) {
  const std::vector<const Price*>& plans = world_.catalogue.plans(s.months());
  const auto found = std::find(plans.begin(), plans.end(), s.items.front().price);
  const auto step = 1 + random_.below(plans.size() - 1);
  const auto other = (static_cast<std::size_t>(found - plans.begin()) + step) % plans.size();
  change_items(s, [&] { s.items.front().price = plans[other]; });
}

void Account::change_quantity(Subscription& s) {
  Item& item = s.items.back();
  const std::int64_t quantity = random_.between(1, 9);
  change_items(s, [&] { item.quantity = quantity == item.quantity ? quantity + 1 : quantity; });
}

void Account::add_item(Subscription& s) {
  const std::string id = random_.id("si_");
  const std::int64_t quantity = random_.between(1, 20);
  change_items(s, [&] { s.items.push_back({id, &world_.catalogue.seats(), quantity, now_, now_}); });
}

void Account::remove_item(Subscription& s) {
  change_items(s, [&] { s.items.pop_back(); });
}

// A new interval begins at once, with a period of its own.
void Account::switch_interval(Subscription& s) {
  const std::vector<const Price*>& from = world_.catalogue.plans(s.months());
  const std::vector<const Price*>& to = world_.catalogue.plans(s.months() == 1 ? 12 : 1);
  const auto found = std::find(from.begin(), from.end(), s.items.front().price) - from.begin();
  BillPtr bill;
  change(s, [&] {
    s.items.front().price = to[static_cast<std::size_t>(found)];
    s.items_changed = now_;
    s.anchor = now_;
    begin_period(s, now_);
    bill = make_bill(s, "subscription_update");
    std::vector<Line> lines = period_lines(s, s.period);
    bill->invoice.lines.insert(bill->invoice.lines.begin(), lines.begin(), lines.end());
    s.latest_invoice = bill->invoice.id;
  });
  tell("invoice.created", bill->invoice);
  finalize(bill);
  collect(bill);
  plan_cycle(s);
}

}  // namespace billing::simulation
