// The grants of a subscription's invoices: those of full periods here, those of prorations in
// credit_upgrade.cpp.
#include "core/credit_plan.hpp"

#include <algorithm>

#include "core/credit_planner.hpp"
#include "core/fields.hpp"

namespace billing::credits {
namespace {

// Each invoice once, in order of time. Of two snapshots of one the paid one counts: nothing makes a paid
// invoice unpaid.
std::vector<SubscriptionInvoice> in_order(const std::vector<const Json*>& objects) {
  std::map<std::string, const Json*> newest;
  const auto is_better = [](const Json& a, const Json& b) {
    const bool a_paid = fields::invoice_is_paid(a);
    const bool b_paid = fields::invoice_is_paid(b);
    return a_paid != b_paid ? a_paid : a < b;
  };
  for (const Json* object : objects) {
    if (object == nullptr || !may_grant(*object)) continue;
    const Json*& known = newest[text_of(*object, "id").value_or("")];
    if (known == nullptr || is_better(*object, *known)) known = object;
  }
  std::vector<SubscriptionInvoice> invoices;
  for (const auto& [id, object] : newest) invoices.push_back(*read_invoice(*object));
  std::stable_sort(invoices.begin(), invoices.end(),
                   [](const auto& a, const auto& b) { return a.created < b.created; });
  return invoices;
}

// Prorations of some versions don't say which item they are of: the one that has the price, or the only one.
// Only what is billed together, or for the same time, tells: other invoices need not be given.
void complete_items(std::vector<SubscriptionInvoice>& invoices) {
  struct Named {
    const SubscriptionInvoice* invoice;
    const InvoiceLine* line;
    std::string item;
  };
  std::vector<Named> all_named;
  for (const SubscriptionInvoice& invoice : invoices) {
    for (const InvoiceLine& line : invoice.lines) {
      if (!line.item.empty()) all_named.push_back({&invoice, &line, line.item});
    }
  }
  for (SubscriptionInvoice& invoice : invoices) {
    for (InvoiceLine& line : invoice.lines) {
      if (!line.item.empty()) continue;
      std::set<std::string> named, all;
      for (const Named& other : all_named) {
        const bool same_time = other.line->start < line.end && line.start < other.line->end;
        if (other.invoice != &invoice && !same_time) continue;
        all.insert(other.item);
        if (other.line->price_id == line.price_id) named.insert(other.item);
      }
      if (named.size() == 1) line.item = *named.begin();
      if (named.empty() && all.size() == 1) line.item = *all.begin();
    }
  }
}

Seconds covered_length(const Span& span, std::vector<Span> others) {
  std::sort(others.begin(), others.end(), [](const Span& a, const Span& b) { return a.start < b.start; });
  Seconds covered = 0;
  Seconds done = span.start;
  for (const Span& other : others) {
    const Seconds start = std::max(done, other.start);
    const Seconds end = std::min(span.end, other.end);
    if (end <= start) continue;
    covered += end - start;
    done = end;
  }
  return covered;
}

}  // namespace

std::vector<PlannedGrant> plan_invoices(const std::vector<const Json*>& invoices,
                                        const Catalogue& catalogue) {
  std::vector<SubscriptionInvoice> read = in_order(invoices);
  complete_items(read);
  return CreditPlanner(std::move(read), catalogue).take_plan();
}

CreditPlanner::CreditPlanner(std::vector<SubscriptionInvoice> invoices, const Catalogue& catalogue)
    : catalogue_(catalogue), invoices_(std::move(invoices)) {
  prorations_ = read_prorations(invoices_, catalogue_, items_);
  find_cycles();
  judge_prorations();
  find_cuts();
  for (std::size_t index = 0; index < invoices_.size(); ++index) {
    std::set<std::string> once;
    for (const InvoiceLine& line : invoices_[index].lines) plan_period(index, line, once);
    for (std::size_t i = 0; i < prorations_.size(); ++i) {
      if (prorations_[i].invoice == index && levels_[i]) plan_proration(prorations_[i], *levels_[i]);
    }
  }
}

void CreditPlanner::find_cycles() {
  for (const SubscriptionInvoice& invoice : invoices_) {
    for (const InvoiceLine& line : invoice.lines) {
      if (!line.proration) cycle_starts_.emplace(std::pair{items_.root(line.item), line.end}, line.start);
    }
  }
}

// What comes by interval is paid in advance, and refunded for the time after a change; a period that is
// replaced, or a plan that becomes smaller, therefore ends what it had still to bring.
void CreditPlanner::find_cuts() {
  for (std::size_t index = 0; index < invoices_.size(); ++index) {
    for (const InvoiceLine& line : invoices_[index].lines) {
      if (line.proration) continue;
      const Price* price = find_price(catalogue_, line.price_id);
      const bool counts = price == nullptr ? invoices_[index].paid
                                           : invoices_[index].counts_for(*price) && !is_trial(line, *price);
      if (counts) cuts_.push_back({index, items_.root(line.item), line.start});
    }
  }
  for (std::size_t i = 0; i < prorations_.size(); ++i) {
    if (!levels_[i] || !levels_[i]->cuts()) continue;
    // The interval that starts at that second is the running one.
    cuts_.push_back({prorations_[i].invoice, prorations_[i].item, prorations_[i].last_start() + 1});
  }
}

bool CreditPlanner::is_cut(std::size_t invoice, const std::string& item, Seconds line_start,
                           Seconds start) const {
  return std::any_of(cuts_.begin(), cuts_.end(), [&](const Cut& cut) {
    return cut.invoice > invoice && cut.item == item && cut.at > line_start && cut.at <= start;
  });
}

PlannedGrant CreditPlanner::start_grant(std::size_t index, const InvoiceLine& line,
                                        const Price& price) const {
  PlannedGrant grant;
  grant.subscription_id = line.subscription;
  grant.invoice_id = invoices_[index].id;
  grant.series = series_of(line.subscription, line.item);
  grant.rollover = price.rule.rollover;
  grant.priority = price.rule.priority;
  grant.source = "invoice";
  grant.price_id = price.id;
  grant.description = line.description;
  grant.terms = {{price.id, credits::terms_of(price)}};
  grant.rule = {{"rule", "period"}, {"price", price.id}, {"quantity", line.quantity}};
  if (price.rule.credits) grant.rule["credits"] = *price.rule.credits;
  if (price.rule.per_subscription) grant.rule["credits_per"] = "subscription";
  return grant;
}

void CreditPlanner::add(std::size_t invoice, const std::string& item, PlannedGrant grant) {
  plan_.push_back(std::move(grant));
  owners_.push_back({invoice, item});
}

void CreditPlanner::plan_period(std::size_t index, const InvoiceLine& line, std::set<std::string>& once) {
  const Price* price = find_price(catalogue_, line.price_id);
  if (line.proration || price == nullptr || !invoices_[index].counts_for(*price)) return;
  const Wide credits = credits_of(*price, line.quantity);
  if (credits == 0 || is_trial(line, *price)) return;
  // Tiers make several lines of one price.
  if (price->rule.per_subscription && !once.insert(line.item + ' ' + price->id).second) return;
  const Span period{line.start, line.end};
  const Intervals intervals = intervals_of(*price, period);
  const std::string key = invoices_[index].id + ':' + line.key + ":period";
  const std::string& item = items_.root(line.item);
  for (std::size_t k = 0; k < intervals.count(); ++k) {
    const Granted granted{index, item, &line, price, intervals.span(k), credits};
    PlannedGrant grant = start_grant(index, line, *price);
    grant.key = intervals.count() > 1 ? key + ':' + std::to_string(k) : key;
    if (intervals.count() > 1) grant.rule["credit_interval"] = price->rule.interval;
    if (!intervals.problem.empty()) grant.rule["problem"] = intervals.problem;
    if (k > 0) grant.effective_at = instant(granted.span.start);
    grant.expires_at = granted.span.end;
    grant.cycle_start = granted.span.start;
    grant.amount = grant.full = to_amount(credits);
    if (k > 0 && is_long(period) && is_cut(index, item, line.start, granted.span.start)) {
      grant.amount = 0;
    } else {
      if (invoices_[index].reason == SubscriptionInvoice::Reason::update) {
        grant.depends = true;
        limit_to_uncovered(granted, grant);
        if (k == 0) keep_running(granted, grant);
      }
      granted_.push_back(granted);
    }
    add(index, item, std::move(grant));
  }
}

void CreditPlanner::limit_to_uncovered(const Granted& granted, PlannedGrant& grant) const {
  std::vector<Span> covering;
  for (const Granted& other : granted_) {
    if (other.invoice < granted.invoice && covers(other, granted)) covering.push_back(other.span);
  }
  const Seconds covered = covered_length(granted.span, std::move(covering));
  const Seconds length = granted.span.length();
  if (covered == 0) return;
  grant.amount = to_amount(granted.credits * (length - covered) / length);
  grant.rule["covered_seconds"] = covered;
  grant.rule["period_seconds"] = length;
}

// What the item has is worth more than what is granted now: it stays, since the new lot takes a place beside
// it.
void CreditPlanner::keep_running(const Granted& granted, PlannedGrant& grant) const {
  const Seconds now = granted.span.start;
  Wide running = 0;
  Seconds place = 0;
  for (std::size_t i = 0; i < plan_.size(); ++i) {
    const PlannedGrant& other = plan_[i];
    if (owners_[i].invoice == granted.invoice || owners_[i].item != granted.item) continue;
    if (other.cycle_start > now || other.expires_at.value_or(kEndOfTime) <= now) continue;
    running += other.amount;
    place = std::max(place, other.cycle_start);
  }
  if (running > grant.amount) grant.cycle_start = place;
}

// Whether what was granted before counts for the same time: as much of the same price; or, of the same item,
// at least the same rate by a period as long. (A shorter one of the same rate doesn't: monthly to annual is
// granted in full.)
bool CreditPlanner::covers(const Granted& other, const Granted& granted) {
  const bool as_many = granted.price->rule.per_subscription || other.line->quantity >= granted.line->quantity;
  if (other.price == granted.price && as_many) return true;
  const Span of_other{other.line->start, other.line->end};
  const Span of_this{granted.line->start, granted.line->end};
  if (other.item != granted.item ||
      nominal_period(*other.price, of_other) < nominal_period(*granted.price, of_this)) {
    return false;
  }
  return other.credits * nominal_interval(*granted.price, of_this) >=
         granted.credits * nominal_interval(*other.price, of_other);
}

}  // namespace billing::credits
