#include "functions/paid_through.hpp"

#include <map>
#include <set>

#include "core/credit_plan.hpp"
#include "functions/payment_facts.hpp"
#include "pg/spi.hpp"

namespace billing {

namespace {

// The invoices that pay furthest ahead, of those that end before a time. Nearly always they stand, and no
// other invoice is looked at.
pg::Statement read_furthest(
    "WITH furthest AS MATERIALIZED (SELECT k.subscription, max(o.paid_until) AS paid_until"
    "  FROM unnest($1, $2) k(subscription, before)"
    "  JOIN @stripe_objects o ON o.parent_id = k.subscription AND o.object_type = 'invoice'"
    "  WHERE o.paid_until IS NOT NULL AND (k.before IS NULL OR o.paid_until < k.before)"
    "  GROUP BY k.subscription)"
    " SELECT i.parent_id, i.object_id, i.stripe_account, i.livemode, i.paid_until, i.object"
    " FROM furthest f JOIN @stripe_objects i ON i.parent_id = f.subscription AND i.object_type = 'invoice'"
    "  AND i.paid_until = f.paid_until");

struct Paid {
  std::string subscription;
  std::string account;
  bool livemode = false;
  Seconds until = 0;
  Json invoice;
};

// By invoice.
std::map<std::string, Paid> furthest(const std::map<std::string, std::optional<Seconds>>& before) {
  pg::Texts subscription;
  pg::Times time;
  for (const auto& [id, limit] : before) {
    subscription.push_back(id);
    time.add(limit);
  }
  std::map<std::string, Paid> found;
  const pg::Rows rows = read_furthest.run(subscription, time);
  for (std::size_t i = 0; i < rows.size(); ++i)
    found[rows.text(i, 1)] = {rows.text(i, 0), rows.text(i, 2), rows.flag(i, 3),
                              rows.maybe_seconds(i, 4).value_or(0), rows.document(i, 5)};
  return found;
}

}  // namespace

void read_paid_through(std::vector<Subscription>& subscriptions) {
  std::map<std::string, std::optional<Seconds>> open;  // before when each is looked for
  for (Subscription& one : subscriptions) open[one.id] = one.paid_through = std::nullopt;
  std::map<std::string, Seconds> paid_through;
  while (!open.empty()) {
    const std::map<std::string, Paid> invoices = furthest(open);
    open.clear();
    std::vector<PaymentSubject> subjects;
    for (const auto& [id, paid] : invoices) {
      subjects.push_back({id, paid.account, paid.livemode, &paid.invoice});
      open[paid.subscription] = paid.until;
    }
    const auto facts = read_payment_facts(subjects);
    for (const auto& [id, paid] : invoices) {
      const PaymentFacts& known = facts.at(id);
      if (credits::went_back(credits::read_reversal(paid.invoice, known.charges, known.credit_notes)))
        continue;
      paid_through[paid.subscription] = paid.until;
      open.erase(paid.subscription);
    }
  }
  for (Subscription& one : subscriptions)
    if (const auto found = paid_through.find(one.id); found != paid_through.end())
      one.paid_through = found->second;
}

}  // namespace billing
