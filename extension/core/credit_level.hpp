// How much a price grants over a time: its intervals, and the level that lines of an invoice stand for.
#pragma once

#include <string>
#include <vector>

#include "core/credit_line.hpp"

namespace billing::credits {

// A billing cycle of a price, or the part of time that a line pays for.
struct Span {
  Seconds start = 0;
  Seconds end = 0;
  Seconds length() const { return end - start; }
};

// When credits come within a span: all at its start, or at the start of each credit_interval.
struct Intervals {
  std::vector<Seconds> starts;  // at least one, the first is the span's
  Seconds end = 0;
  std::string problem;
  std::size_t count() const { return starts.size(); }
  Span span(std::size_t k) const { return {starts[k], k + 1 < starts.size() ? starts[k + 1] : end}; }
  // The one that `time` is in.
  std::size_t at(Seconds time) const;
};
Intervals intervals_of(const Price& price, const Span& span);

// Longer than a month: what comes by interval may then be cut by a later invoice.
inline bool is_long(const Span& span) { return span.length() > 32 * 86'400; }

// The cycle that ends at `end`, as long as the calendar allows: where a month's end was cut short several
// starts lead to the same end, of which this is the first.
Span cycle_until(const Price& price, Seconds end);
// The shortest such cycle: what a share of it is measured by, in the payer's favour.
Seconds cycle_length(const Price& price, Seconds end);

// On average, in seconds: what rates of different periods are compared by.
Seconds nominal_period(const Price& price, const Span& span);
Seconds nominal_interval(const Price& price, const Span& span);  // of credit_interval, or else the period

const char* name_of(CreditRule::Upgrade upgrade);
bool grants(const Price& price);                             // has credits, and is not metered
std::string terms_of(const Price& price);                    // for people: how much it grants, and when
Wide credits_of(const Price& price, std::int64_t quantity);  // per interval
// A line that a trial made: it costs nothing although the price is not free. A line's amount is what it is
// before coupons, so that one of 100 % is no trial.
bool is_trial(const InvoiceLine& line, const Price& price);

const Price* find_price(const Catalogue& catalogue, const std::string& id);

}  // namespace billing::credits
