// The rules that look at a subscription's invoices together: private to credit_plan.cpp and
// credit_upgrade.cpp.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/credit_proration.hpp"

namespace billing::credits {

// Goes through the invoices in order of time, so that a rule that looks back finds what it looks for.
class CreditPlanner {
 public:
  CreditPlanner(std::vector<SubscriptionInvoice> invoices, const Catalogue& catalogue);
  std::vector<PlannedGrant> take_plan() { return std::move(plan_); }

 private:
  // A time that a full-period line grants: its whole period, or one credit_interval of it.
  struct Granted {
    std::size_t invoice = 0;
    std::string item;
    const InvoiceLine* line = nullptr;
    const Price* price = nullptr;
    Span span;
    Wide credits = 0;
  };
  // From `at` on, what earlier invoices planned for the item's later intervals is not due.
  struct Cut {
    std::size_t invoice = 0;
    std::string item;
    Seconds at = 0;
  };
  struct Owner {
    std::size_t invoice = 0;
    std::string item;
  };

  // What the rules look up, gathered before they are applied.
  void find_cycles();
  void judge_prorations();
  void find_cuts();
  bool is_cut(std::size_t invoice, const std::string& item, Seconds line_start, Seconds start) const;

  // Full periods.
  void plan_period(std::size_t index, const InvoiceLine& line, std::set<std::string>& once);
  void limit_to_uncovered(const Granted& granted, PlannedGrant& grant) const;
  void keep_running(const Granted& granted, PlannedGrant& grant) const;
  static bool covers(const Granted& other, const Granted& granted);

  // Changes within a cycle.
  void plan_proration(const Proration& proration, const Levels& levels);
  void plan_at_once(const Proration& proration, const Levels& levels, const Span& cycle, const Span& lot,
                    PlannedGrant grant);
  void plan_by_interval(const Proration& proration, const Levels& levels, const Intervals& intervals,
                        const PlannedGrant& prototype);
  void plan_rest_of_cut(const Proration& proration, const Levels& levels, const Span& cycle,
                        PlannedGrant grant);
  Span cycle_of(const Proration& proration, const Price& price) const;
  const Price* price_of(const Proration& proration) const;
  const InvoiceLine* next_period(const Proration& proration, const Levels& levels) const;
  Wide highest_before(const Proration& proration, Seconds since) const;
  bool is_first_part(const Proration& proration) const;

  PlannedGrant start_grant(std::size_t index, const InvoiceLine& line, const Price& price) const;
  Terms terms_of(const Proration& proration) const;
  void add(std::size_t invoice, const std::string& item, PlannedGrant grant);

  const Catalogue& catalogue_;
  std::vector<SubscriptionInvoice> invoices_;
  Items items_;
  std::vector<Proration> prorations_;
  std::vector<std::optional<Levels>> levels_;  // of each proration; nothing: grants nothing
  std::map<std::pair<std::string, Seconds>, Seconds> cycle_starts_;  // by item and end
  std::vector<Cut> cuts_;
  std::vector<Granted> granted_;
  std::vector<PlannedGrant> plan_;
  std::vector<Owner> owners_;  // of each planned grant
};

}  // namespace billing::credits
