// Random lives of subscriptions: what must hold of their grants whatever happens.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <random>
#include <set>

#include "credit_fixtures.hpp"

namespace billing::credits {
namespace {

using namespace fixtures;

// Random lives: changes of price and quantity, several on an invoice, and restarts.

struct Life {
  std::vector<Json> invoices;
  Amount lowest = 0;  // of the levels in the first cycle
  Amount highest = 0;
};

void showValue(const Life& life, std::ostream& out) {
  for (const Json& invoice : life.invoices) out << to_text(invoice) << '\n';
}

Life any_life() {
  const std::vector<std::string> names = {"basic", "pro", "max", "free", "none"};
  const std::map<std::string, Amount> credits = {
      {"basic", 100}, {"pro", 300}, {"max", 900}, {"free", 10}, {"none", 0}};
  Life life;
  std::string price = *rc::gen::elementOf(names);
  std::int64_t quantity = *rc::gen::inRange(1, 4);
  std::string item = "si_1";
  const auto level = [&] { return credits.at(price) * quantity; };
  const auto line_of = [&](Line line) {
    line.item = item;
    if (price == "free") line.amount = 0;
    return line;
  };
  life.invoices.push_back(create({line_of(period("il_0", price, month(0), month(1), quantity))}));
  life.lowest = life.highest = level();
  Seconds at = month(0);
  int number = 1;
  while (*rc::gen::inRange(0, 6) != 0) {
    std::vector<Line> lines;
    const int changes = *rc::gen::inRange(1, 4);
    for (int i = 0; i < changes; ++i) {
      at = std::min(at + *rc::gen::inRange<Seconds>(1, 4 * kDay), month(1) - 60 + number);
      const std::string id = "il_" + std::to_string(number++);
      lines.push_back(line_of(unused(id + "u", price, at, month(1), quantity)));
      price = *rc::gen::elementOf(names);
      quantity = *rc::gen::inRange(1, 4);
      if (*rc::gen::inRange(0, 3) == 0) item = "si_" + std::to_string(number);
      lines.push_back(line_of(remaining(id + "r", price, at, month(1), quantity)));
      life.lowest = std::min(life.lowest, level());
      life.highest = std::max(life.highest, level());
    }
    const std::string id = "in_" + std::to_string(number);
    life.invoices.push_back(*rc::gen::inRange(0, 2) == 0 ? update(id, at, lines) : cycle(id, at, lines));
  }
  return life;
}
rc::Gen<Life> any() { return rc::gen::exec(any_life); }

std::vector<PlannedGrant> all(const std::vector<Json>& invoices) {
  std::vector<const Json*> pointers;
  for (const Json& invoice : invoices) pointers.push_back(&invoice);
  return plan_invoices(pointers, plans());
}

RC_GTEST_PROP(UpgradeProperty, TheOrderOfTheInvoicesDoesNotMatter, ()) {
  const Life life = *any();
  std::vector<Json> shuffled = life.invoices;
  std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(*rc::gen::arbitrary<unsigned>()));
  RC_ASSERT(to_json(all(shuffled)) == to_json(all(life.invoices)));
}

RC_GTEST_PROP(UpgradeProperty, ACopyOfAnInvoiceChangesNothing, ()) {
  const Life life = *any();
  std::vector<Json> more = life.invoices;
  more.push_back(*rc::gen::elementOf(life.invoices));
  RC_ASSERT(to_json(all(more)) == to_json(all(life.invoices)));
}

RC_GTEST_PROP(UpgradeProperty, ACycleNeverGrantsMoreThanItsHighestLevel, ()) {
  const Life life = *any();
  Amount upgrades = 0;
  for (const PlannedGrant& grant : all(life.invoices)) {
    if (grant.source == "upgrade") upgrades += grant.amount;
    RC_ASSERT(grant.amount >= 0);
    RC_ASSERT(grant.amount <= grant.full);
  }
  RC_ASSERT(upgrades <= life.highest - life.lowest);
}

RC_GTEST_PROP(UpgradeProperty, AnEarlierInvoiceOnlyLowersLaterGrants, ()) {
  const Life life = *any();
  std::vector<Json> fewer = life.invoices;
  fewer.erase(fewer.begin() +
              *rc::gen::inRange<std::ptrdiff_t>(0, static_cast<std::ptrdiff_t>(fewer.size())));
  const auto with = all(life.invoices);
  for (const PlannedGrant& grant : all(fewer)) RC_ASSERT(amount_of(with, grant.key) <= grant.amount);
}

RC_GTEST_PROP(UpgradeProperty, KeysAreUnique, ()) {
  std::set<std::string> keys;
  for (const PlannedGrant& grant : all((*any()).invoices)) RC_ASSERT(keys.insert(grant.key).second);
}

// Restarting again and again, at any time and price, never brings more than one lot of each price and the
// time that has passed.
RC_GTEST_PROP(UpgradeProperty, RestartsGrantNoMoreThanTime, ()) {
  const std::vector<std::string> names = {"pro", "pro_year"};
  std::vector<Json> invoices = {base("pro")};
  Seconds at = month(0);
  Seconds last_month = month(1);
  Seconds last_year = month(0);
  for (int number = 2; number < 12; ++number) {
    at += *rc::gen::inRange<Seconds>(1, 9 * kDay);
    const std::string name = *rc::gen::elementOf(names);
    const Seconds until = name == "pro" ? after_month(at) : after_year(at);
    (name == "pro" ? last_month : last_year) = until;
    invoices.push_back(restart("in_" + std::to_string(number), at, until, name));
  }
  const Amount months = 300 + 300 * ((last_month - month(0)) / (28 * kDay) + 1);
  const Amount years =
      last_year == month(0) ? 0 : 3600 + 3600 * (last_year - month(0) - 365 * kDay) / (365 * kDay);
  RC_ASSERT(total(all(invoices)) <= months + years);
}

// An annual plan whose credits come by the month, changed again and again: no month brings more than its
// highest level, and what is to come is what the last change says.
RC_GTEST_PROP(IntervalProperty, EachMonthBringsWhatHolds, ()) {
  const std::map<std::string, Amount> credits = {{"none", 0}, {"pro_drip", 300}, {"max_drip", 900}};
  const std::vector<std::string> names = {"none", "pro_drip", "max_drip"};
  std::string price = *rc::gen::elementOf(names);
  std::int64_t quantity = *rc::gen::inRange(1, 4);
  std::vector<Json> invoices = {create({period("il_1", price, month(0), month(12), quantity)})};
  std::vector<Amount> highest(12, credits.at(price) * quantity);
  Seconds at = month(0);
  int number = 2;
  while (*rc::gen::inRange(0, 5) != 0) {
    at = std::min(at + *rc::gen::inRange<Seconds>(1, 60 * kDay), month(12) - 100 + number);
    const std::string id = std::to_string(number++);
    const Line credit = unused("il_" + id + "u", price, at, month(12), quantity);
    price = *rc::gen::elementOf(names);
    quantity = *rc::gen::inRange(1, 4);
    invoices.push_back(
        update("in_" + id, at, {credit, remaining("il_" + id + "r", price, at, month(12), quantity)}));
    const Amount level = credits.at(price) * quantity;
    for (int k = 0; k < 12; ++k) {
      Amount& most = highest[static_cast<std::size_t>(k)];
      if (month(k) > at) most = level;
      if (month(k) <= at && at < month(k + 1)) most = std::max(most, level);
    }
  }
  std::map<Seconds, Amount> months;
  for (const PlannedGrant& grant : all(invoices)) months[grant.cycle_start] += grant.amount;
  for (int k = 0; k < 12; ++k) {
    const Amount most = highest[static_cast<std::size_t>(k)];
    RC_ASSERT(months[month(k)] <= most);
    if (month(k) > at) RC_ASSERT(months[month(k)] == most);
  }
  std::reverse(invoices.begin(), invoices.end());
  std::map<Seconds, Amount> reversed;
  for (const PlannedGrant& grant : all(invoices)) reversed[grant.cycle_start] += grant.amount;
  for (const auto& [start, amount] : months) RC_ASSERT(reversed[start] == amount);
}

}  // namespace
}  // namespace billing::credits
