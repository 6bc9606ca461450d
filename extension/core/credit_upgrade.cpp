// The grants of changes within a cycle.
#include <algorithm>

#include "core/credit_planner.hpp"

namespace billing::credits {
namespace {

using Upgrade = CreditRule::Upgrade;

Amount delta(const Levels& levels, Wide base, Seconds cycle, Upgrade upgrade) {
  switch (upgrade) {
    case Upgrade::none:
      return 0;
    case Upgrade::full_delta:
      return to_amount(levels.after() - base);
    case Upgrade::prorated_delta:
      break;
  }
  return levels.above(base, cycle);
}

}  // namespace

Span CreditPlanner::cycle_of(const Proration& proration, const Price& price) const {
  const auto known = cycle_starts_.find({proration.item, proration.end});
  const Seconds start =
      known != cycle_starts_.end() ? known->second : cycle_until(price, proration.end).start;
  return {std::min(start, proration.changes.front().start), proration.end};
}

const Price* CreditPlanner::price_of(const Proration& proration) const {
  const InvoiceLine* newest = proration.newest();
  const InvoiceLine* line = newest != nullptr ? newest : proration.changes.back().credited.front();
  return find_price(catalogue_, line->price_id);
}

void CreditPlanner::judge_prorations() {
  for (const Proration& proration : prorations_) {
    const Price* price = price_of(proration);
    const InvoiceLine* newest = proration.newest();
    std::optional<Levels> levels;
    // What a trial changes costs nothing, and grants nothing.
    if (price != nullptr && invoices_[proration.invoice].counts_for(*price) &&
        (newest == nullptr || !is_trial(*newest, *price))) {
      levels = levels_of(proration, cycle_of(proration, *price), catalogue_);
    }
    levels_.push_back(std::move(levels));
  }
}

// The most that the item was granted at since `since`, by earlier invoices of the same cycle.
Wide CreditPlanner::highest_before(const Proration& proration, Seconds since) const {
  Wide highest = 0;
  for (std::size_t i = 0; i < prorations_.size(); ++i) {
    const Proration& other = prorations_[i];
    if (!levels_[i] || other.invoice >= proration.invoice || other.item != proration.item) continue;
    if (other.end != proration.end || other.changes.front().start < since) continue;
    highest = std::max(highest, levels_[i]->highest());
  }
  std::map<std::size_t, Wide> periods;  // several lines of one invoice are tiers
  for (const Granted& granted : granted_) {
    if (granted.invoice >= proration.invoice || granted.item != proration.item) continue;
    if (granted.line->end == proration.end && granted.line->start >= since) {
      periods[granted.invoice] += granted.credits;
    }
  }
  for (const auto& [invoice, level] : periods) highest = std::max(highest, level);
  return highest;
}

// Where the next period is billed together with the changes of the last one, which is over.
const InvoiceLine* CreditPlanner::next_period(const Proration& proration, const Levels& levels) const {
  const Seconds over = levels.after() == 0 ? proration.last_start() : proration.end;
  for (const InvoiceLine& line : invoices_[proration.invoice].lines) {
    if (!line.proration && line.start >= over && items_.root(line.item) == proration.item) return &line;
  }
  return nullptr;
}

// A subscription that starts on a day before its billing day, and pays for the days between.
bool CreditPlanner::is_first_part(const Proration& proration) const {
  return invoices_[proration.invoice].reason == SubscriptionInvoice::Reason::create &&
         proration.changes.front().credited.empty();
}

void CreditPlanner::plan_proration(const Proration& proration, const Levels& levels) {
  const InvoiceLine* line = proration.newest();
  if (line == nullptr) return;
  const Price& price = *price_of(proration);
  const Span cycle = cycle_of(proration, price);
  PlannedGrant grant = start_grant(proration.invoice, *line, price);
  grant.key = invoices_[proration.invoice].id + ':' + line->key;
  grant.terms = terms_of(proration);
  grant.rule["from"] = to_amount(levels.before);
  grant.rule["to"] = to_amount(levels.after());
  if (is_first_part(proration)) {
    grant.key += ":period";
    grant.rule["rule"] = "part_of_period";
  } else {
    grant.key += ":upgrade";
    grant.source = "upgrade";
    grant.depends = true;
    grant.rule["rule"] = name_of(price.rule.upgrade);
  }
  const Intervals intervals = intervals_of(price, cycle);
  if (const InvoiceLine* next = next_period(proration, levels)) {
    plan_at_once(proration, levels, cycle, {next->start, next->end}, std::move(grant));
  } else if (intervals.count() > 1) {
    plan_by_interval(proration, levels, intervals, grant);
  } else {
    plan_at_once(proration, levels, cycle, cycle, grant);
    plan_rest_of_cut(proration, levels, cycle, std::move(grant));
  }
}

Terms CreditPlanner::terms_of(const Proration& proration) const {
  Terms terms;
  for (const Change& change : proration.changes)
    for (const auto& lines : {change.credited, change.charged})
      for (const InvoiceLine* line : lines)
        if (const Price* price = find_price(catalogue_, line->price_id))
          terms[price->id] = credits::terms_of(*price);
  return terms;
}

// `lot` is the cycle whose lots it joins.
void CreditPlanner::plan_at_once(const Proration& proration, const Levels& levels, const Span& cycle,
                                 const Span& lot, PlannedGrant grant) {
  const Price& price = *price_of(proration);
  const Upgrade upgrade = is_first_part(proration) ? Upgrade::prorated_delta : price.rule.upgrade;
  const Seconds length = cycle_length(price, proration.end);
  const Wide base = std::max(levels.before, highest_before(proration, cycle.start));
  grant.cycle_start = lot.start;
  grant.expires_at = lot.end;
  grant.full = delta(levels, levels.before, length, upgrade);
  grant.amount = delta(levels, base, length, upgrade);
  grant.rule["base"] = to_amount(base);
  add(proration.invoice, proration.item, std::move(grant));
}

// The rest of the running interval, and each later one. After a change to less these are all that the later
// ones get, since what was planned for them is cut.
void CreditPlanner::plan_by_interval(const Proration& proration, const Levels& levels,
                                     const Intervals& intervals, const PlannedGrant& prototype) {
  const Price& price = *price_of(proration);
  const auto count = static_cast<Wide>(intervals.count());
  const Upgrade upgrade = is_first_part(proration) ? Upgrade::prorated_delta : price.rule.upgrade;
  const Seconds start = proration.last_start();
  const std::size_t running = intervals.at(start);
  for (std::size_t k = running; k < intervals.count(); ++k) {
    const Span span = intervals.span(k);
    PlannedGrant grant = prototype;
    grant.rule["credit_interval"] = price.rule.interval;
    grant.cycle_start = span.start;
    grant.expires_at = span.end;
    Wide more = upgrade == Upgrade::none ? 0 : std::max<Wide>(levels.after() - levels.before, 0) / count;
    if (k == running) {
      const Wide base = std::max(levels.before, highest_before(proration, span.start));
      const Seconds rest =
          upgrade == Upgrade::full_delta ? span.length() : span.end - std::max(start, span.start);
      grant.full = to_amount(more * rest / span.length());
      more = std::min(more, std::max<Wide>(levels.after() - base, 0) / count);
      grant.amount = to_amount(more * rest / span.length());
      grant.rule["base"] = to_amount(base);
    } else {
      grant.key += ':' + std::to_string(k - running);
      grant.effective_at = instant(span.start);
      if (levels.cuts()) {
        more = levels.after() / count;
        grant.rule["rule"] = "rest_of_period";
      }
      const bool cut = levels.is_long && is_cut(proration.invoice, proration.item, start, span.start);
      grant.full = to_amount(more);
      grant.amount = cut ? 0 : grant.full;
    }
    add(proration.invoice, proration.item, std::move(grant));
  }
}

// From a plan that came by interval down to one that doesn't: the new one's share of the time whose intervals
// are cut.
void CreditPlanner::plan_rest_of_cut(const Proration& proration, const Levels& levels, const Span& cycle,
                                     PlannedGrant grant) {
  if (!levels.cuts()) return;
  const Intervals old = intervals_of(*levels.price_before, cycle);
  const std::size_t next = old.at(proration.last_start()) + 1;
  if (next >= old.count()) return;
  const Seconds start = old.starts[next];
  grant.key += ":1";
  grant.rule["rule"] = "rest_of_period";
  grant.effective_at = instant(start);
  grant.cycle_start = start;
  grant.expires_at = cycle.end;
  grant.full = to_amount(levels.after() * (cycle.end - start) / cycle.length());
  grant.amount = is_cut(proration.invoice, proration.item, proration.last_start(), start) ? 0 : grant.full;
  add(proration.invoice, proration.item, std::move(grant));
}

}  // namespace billing::credits
