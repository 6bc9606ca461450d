#include "core/credit_proration.hpp"

#include <algorithm>

namespace billing::credits {
namespace {

using Lines = std::vector<const InvoiceLine*>;

// The lines of one item at one instant, before it is known which is the credit.
struct Sides {
  Lines credited;
  Lines charged;
  Lines free;  // of no amount: a free price's, or wholly discounted

  void add(const InvoiceLine* line) {
    const bool credit = line->credits_earlier || line->amount.value_or(0) < 0;
    (credit ? credited : line->amount == 0 ? free : charged).push_back(line);
  }
  // A line of no amount is the side that is missing. Where that says nothing Stripe's order does, in which
  // the credit comes first.
  void settle(bool others_are_credited, bool others_are_charged) {
    std::size_t credits = 0;
    if (credited.empty() && !charged.empty()) {
      credits = free.size();
    } else if (!credited.empty() && charged.empty()) {
      credits = 0;
    } else if (credited.empty() && free.size() == 1) {
      credits = others_are_charged && !others_are_credited ? 1 : 0;
    } else {
      credits = (free.size() + 1) / 2;
    }
    for (std::size_t i = 0; i < free.size(); ++i) (i < credits ? credited : charged).push_back(free[i]);
    free.clear();
  }
};

// Of one invoice: the end of the cycle and the instant, then the item.
using Moments = std::map<std::pair<Seconds, Seconds>, std::map<std::string, Sides>>;

Moments moments_of(const SubscriptionInvoice& invoice, const Catalogue& catalogue) {
  Moments moments;
  for (const InvoiceLine& line : invoice.lines) {
    if (!line.proration) continue;
    const Price* price = find_price(catalogue, line.price_id);
    if (price != nullptr && price->metered) continue;
    moments[{line.end, line.start}][line.item].add(&line);
  }
  for (auto& [when, sides_of_items] : moments) {
    bool credited = false;
    bool charged = false;
    for (const auto& [item, sides] : sides_of_items) {
      credited = credited || (!sides.credited.empty() && sides.charged.empty());
      charged = charged || (sides.credited.empty() && !sides.charged.empty());
    }
    for (auto& [item, sides] : sides_of_items) sides.settle(credited, charged);
  }
  return moments;
}

void join_swaps(const Moments& moments, Items& items) {
  for (const auto& [when, sides_of_items] : moments) {
    std::vector<const std::string*> removed;
    std::vector<const std::string*> added;
    for (const auto& [item, sides] : sides_of_items) {
      if (sides.charged.empty()) removed.push_back(&item);
      if (sides.credited.empty()) added.push_back(&item);
    }
    for (std::size_t i = 0; i < std::min(removed.size(), added.size()); ++i)
      items.join(*removed[i], *added[i]);
  }
}

struct Sum {
  Wide level = 0;
  bool accrues = false;
  const Price* price = nullptr;
};

// Tiers make several lines of one price; what is granted per subscription is granted once.
std::optional<Sum> sum_of(const Lines& lines, const Span& cycle, const Catalogue& catalogue) {
  Sum sum;
  std::set<const Price*> once;
  for (const InvoiceLine* line : lines) {
    const Price* price = find_price(catalogue, line->price_id);
    if (price == nullptr) return std::nullopt;
    const Wide credits = credits_of(*price, line->quantity);
    if (credits == 0 || (price->rule.per_subscription && !once.insert(price).second)) continue;
    const std::size_t count = intervals_of(*price, cycle).count();
    sum.level += credits * static_cast<Wide>(count);
    sum.accrues = sum.accrues || count > 1;
    sum.price = price;
  }
  return sum;
}

}  // namespace

const InvoiceLine* Proration::newest() const {
  const InvoiceLine* newest = nullptr;
  for (const Change& change : changes) {
    if (!change.charged.empty()) newest = change.charged.front();
  }
  return newest;
}

const std::string& Items::root(const std::string& item) const {
  const std::string* at = &item;
  for (auto found = parent_.find(*at); found != parent_.end(); found = parent_.find(*at)) at = &found->second;
  return *at;
}

void Items::join(const std::string& a, const std::string& b) {
  const std::string first = std::min(root(a), root(b));
  const std::string second = std::max(root(a), root(b));
  if (first != second) parent_[second] = first;
}

std::vector<Proration> read_prorations(const std::vector<SubscriptionInvoice>& invoices,
                                       const Catalogue& catalogue, Items& items) {
  std::vector<Moments> of_invoices;
  for (const SubscriptionInvoice& invoice : invoices) {
    of_invoices.push_back(moments_of(invoice, catalogue));
    join_swaps(of_invoices.back(), items);
  }
  std::vector<Proration> prorations;
  for (std::size_t index = 0; index < of_invoices.size(); ++index) {
    std::map<std::pair<std::string, Seconds>, Proration> of_items;
    for (const auto& [when, sides_of_items] : of_invoices[index]) {
      for (const auto& [item, sides] : sides_of_items) {
        const std::string& root = items.root(item);
        Proration& proration = of_items[{root, when.first}];
        proration.invoice = index;
        proration.item = root;
        proration.end = when.first;
        if (proration.changes.empty() || proration.last_start() != when.second) {
          proration.changes.push_back({when.second, {}, {}});
        }
        Change& change = proration.changes.back();
        change.credited.insert(change.credited.end(), sides.credited.begin(), sides.credited.end());
        change.charged.insert(change.charged.end(), sides.charged.begin(), sides.charged.end());
      }
    }
    for (auto& [key, proration] : of_items) {
      for (Change& change : proration.changes) {
        const auto by_key = [](const InvoiceLine* a, const InvoiceLine* b) { return a->key < b->key; };
        std::sort(change.charged.begin(), change.charged.end(), by_key);
      }
      prorations.push_back(std::move(proration));
    }
  }
  return prorations;
}

Wide Levels::highest() const {
  Wide highest = before;
  for (const Step& step : steps) highest = std::max(highest, step.level);
  return highest;
}

Amount Levels::above(Wide base, Seconds cycle) const {
  Wide sum = 0;
  for (const Step& step : steps) sum += std::max<Wide>(step.level - base, 0) * (step.end - step.start);
  return to_amount(sum / std::max<Seconds>({cycle, steps.back().end - steps.front().start, 1}));
}

std::optional<Levels> levels_of(const Proration& proration, const Span& cycle, const Catalogue& catalogue) {
  Levels levels;
  levels.is_long = is_long(cycle);
  for (const Change& change : proration.changes) {
    const std::optional<Sum> credited = sum_of(change.credited, cycle, catalogue);
    const std::optional<Sum> charged = sum_of(change.charged, cycle, catalogue);
    if (!credited || !charged) return std::nullopt;
    if (levels.steps.empty()) {
      levels.before = credited->level;
      levels.accrued_before = credited->accrues;
      levels.price_before = credited->price;
    } else {
      levels.steps.back().end = change.start;
    }
    levels.steps.push_back({change.start, proration.end, charged->level});
  }
  return levels;
}

}  // namespace billing::credits
