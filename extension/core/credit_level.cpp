#include "core/credit_level.hpp"

#include <algorithm>

#include "core/calendar.hpp"

namespace billing::credits {
namespace {

constexpr std::size_t kMostIntervals = 400;  // a year of days, and some

// Months don't add up to days: where both are of one kind, the calendar's clamping must not make one more
// interval.
std::size_t most_intervals(Unit interval, const Price& price) {
  const std::optional<Unit> unit = parse_unit(price.interval);
  std::int64_t each = 0;
  if (unit == interval) each = 1;
  if (unit == Unit::year && interval == Unit::month) each = 12;
  if (unit == Unit::week && interval == Unit::day) each = 7;
  std::int64_t count = 0;
  if (each == 0 || __builtin_mul_overflow(each, price.interval_count, &count)) return kMostIntervals + 1;
  return static_cast<std::size_t>(std::min<std::int64_t>(count, kMostIntervals + 1));
}

bool is_whole_cycle(const InvoiceLine& line, const Price& price) {
  const std::optional<Unit> unit = parse_unit(price.interval);
  // Either way round, since the day of the month may be cut at one of the ends.
  return unit && (add_units(line.start, *unit, price.interval_count) == line.end ||
                  add_units(line.end, *unit, -price.interval_count) == line.start);
}

// Not before 1970, as every time that Stripe sends.
Seconds start_before(Seconds end, Unit unit, std::int64_t count) {
  return std::max<Seconds>(add_units(end, unit, -count), 0);
}

}  // namespace

std::size_t Intervals::at(Seconds time) const {
  const auto later = std::upper_bound(starts.begin(), starts.end(), time);
  return later == starts.begin() ? 0 : static_cast<std::size_t>(later - starts.begin()) - 1;
}

Intervals intervals_of(const Price& price, const Span& span) {
  Intervals intervals{{span.start}, span.end, ""};
  const std::optional<Unit> unit = parse_unit(price.rule.interval);
  if (!unit || nominal_length(*unit) >= nominal_period(price, span)) return intervals;
  const std::size_t most = most_intervals(*unit, price);
  for (std::size_t k = 1; k < most; ++k) {
    const Seconds start = add_units(span.start, *unit, static_cast<std::int64_t>(k));
    if (start >= span.end) break;
    if (k == kMostIntervals) {
      return {{span.start},
              span.end,
              "credit_interval " + price.rule.interval + " has too many intervals in the period"};
    }
    intervals.starts.push_back(start);
  }
  return intervals;
}

Span cycle_until(const Price& price, Seconds end) {
  const std::optional<Unit> unit = parse_unit(price.interval);
  return {unit ? start_before(end, *unit, price.interval_count) : end, end};
}

Seconds cycle_length(const Price& price, Seconds end) {
  constexpr Seconds kDay = 86'400;
  const std::optional<Unit> unit = parse_unit(price.interval);
  if (!unit) return 0;
  Seconds start = start_before(end, *unit, price.interval_count);
  while (start + kDay < end && add_units(start + kDay, *unit, price.interval_count) == end) start += kDay;
  return end - start;
}

Seconds nominal_period(const Price& price, const Span& span) {
  const std::optional<Unit> unit = parse_unit(price.interval);
  Seconds length = 0;
  if (!unit || __builtin_mul_overflow(nominal_length(*unit), price.interval_count, &length))
    return span.length();
  return length;
}

Seconds nominal_interval(const Price& price, const Span& span) {
  const std::optional<Unit> unit = parse_unit(price.rule.interval);
  const Seconds period = nominal_period(price, span);
  return unit ? std::min(nominal_length(*unit), period) : period;
}

const char* name_of(CreditRule::Upgrade upgrade) {
  switch (upgrade) {
    case CreditRule::Upgrade::none:
      return "none";
    case CreditRule::Upgrade::full_delta:
      return "full_delta";
    case CreditRule::Upgrade::prorated_delta:
      break;
  }
  return "prorated_delta";
}

bool grants(const Price& price) { return !price.metered && price.rule.credits.value_or(0) > 0; }

bool same_terms(const Terms& one, const Terms& other) {
  bool met = false;
  for (const auto& [price, says] : one) {
    const auto found = other.find(price);
    if (found == other.end()) continue;
    if (found->second != says) return false;
    met = true;
  }
  return met;
}

std::string terms_of(const Price& price) {
  if (!grants(price)) return "nothing";
  const CreditRule& rule = price.rule;
  return std::to_string(*rule.credits) + (rule.per_subscription ? "" : " per unit") +
         (rule.interval.empty() ? "" : " every " + rule.interval) + ", upgrades " + name_of(rule.upgrade);
}

Wide credits_of(const Price& price, std::int64_t quantity) {
  if (!grants(price) || quantity <= 0) return 0;
  return to_amount(Wide{*price.rule.credits} * (price.rule.per_subscription ? 1 : quantity));
}

bool is_trial(const InvoiceLine& line, const Price& price) {
  if (line.amount != 0) return false;
  if (line.proration) return price.unit_amount != 0 && !line.discounted;
  return price.unit_amount ? *price.unit_amount > 0 : !is_whole_cycle(line, price);
}

const Price* find_price(const Catalogue& catalogue, const std::string& id) {
  const auto found = catalogue.find(id);
  return found == catalogue.end() ? nullptr : &found->second;
}

}  // namespace billing::credits
