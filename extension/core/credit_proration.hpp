// Changes in the middle of a cycle, as an invoice's proration lines tell them.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/credit_level.hpp"

namespace billing::credits {

// What one item was changed to at one instant. Stripe credits the rest of the cycle at the old price, and
// charges it at the new one.
struct Change {
  Seconds start = 0;
  std::vector<const InvoiceLine*> credited;  // empty: the item was added
  std::vector<const InvoiceLine*> charged;   // empty: the item was removed
};

// The changes of one item in one cycle that are on one invoice, in order of time.
struct Proration {
  std::size_t invoice = 0;  // its place among the subscription's
  std::string item;
  Seconds end = 0;
  std::vector<Change> changes;

  Seconds last_start() const { return changes.back().start; }
  // The newest line that charges; null when the item was only removed.
  const InvoiceLine* newest() const;
};

// An item that is removed while another is added is a swap: the same customer's plan under a new id. Both are
// one item to the rules, or each swap would look like something new.
class Items {
 public:
  const std::string& root(const std::string& item) const;
  void join(const std::string& a, const std::string& b);

 private:
  std::map<std::string, std::string> parent_;
};

// All prorations of all invoices, in the invoices' order. Lines of metered prices are left out.
std::vector<Proration> read_prorations(const std::vector<SubscriptionInvoice>& invoices,
                                       const Catalogue& catalogue, Items& items);

// The credits per cycle that held before, in between and after: what prorations are judged by.
struct Levels {
  struct Step {
    Seconds start = 0;
    Seconds end = 0;
    Wide level = 0;
  };
  Wide before = 0;
  std::vector<Step> steps;
  bool accrued_before = false;  // came by interval
  bool is_long = false;         // the cycle: see is_long() in credit_level.hpp
  const Price* price_before = nullptr;

  Wide after() const { return steps.back().level; }
  Wide highest() const;
  // Whether it ends what earlier invoices planned for later intervals.
  bool cuts() const { return accrued_before && is_long && after() < before; }
  // The credits above `base` of the whole time, were `base` and the levels per `cycle` seconds.
  Amount above(Wide base, Seconds cycle) const;
};
// Nothing while a price that they need is not known.
std::optional<Levels> levels_of(const Proration& proration, const Span& cycle, const Catalogue& catalogue);

}  // namespace billing::credits
