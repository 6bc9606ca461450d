#include "core/credit_alarm.hpp"

#include <algorithm>
#include <charconv>

namespace billing::credits {

namespace {

constexpr std::size_t kMaxThresholds = 20;

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

}  // namespace

std::optional<std::vector<Amount>> parse_thresholds(std::string_view text) {
  std::vector<Amount> thresholds;
  if (trimmed(text).empty()) return thresholds;
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t to = std::min(text.find(',', from), text.size());
    const std::string_view one = trimmed(text.substr(from, to - from));
    Amount amount = 0;
    const auto [end, error] = std::from_chars(one.data(), one.data() + one.size(), amount);
    if (error != std::errc() || end != one.data() + one.size() || amount < 0) return std::nullopt;
    thresholds.push_back(amount);
    from = to + 1;
  }
  std::sort(thresholds.begin(), thresholds.end());
  thresholds.erase(std::unique(thresholds.begin(), thresholds.end()), thresholds.end());
  if (thresholds.size() > kMaxThresholds) return std::nullopt;
  return thresholds;
}

std::optional<Amount> note_balance(Account& account, const std::vector<Amount>& thresholds) {
  // Only where it ends counts: what lapses when the next period's credits start has left nobody without.
  Amount peak = account.balance_at_load;
  for (const Entry& entry : account.entries) {
    if (entry.type != EntryType::allocation) continue;
    peak = std::max(peak, entry.balance_after);
    if (account.low_told && entry.balance_after > *account.low_told) account.low_told = entry.balance_after;
  }
  const bool none_told = thresholds.empty() || (account.low_told && thresholds.back() < *account.low_told);
  if (none_told) account.low_told.reset();
  for (const Amount threshold : thresholds) {
    if (account.balance > threshold || threshold >= peak) continue;
    if (account.low_told && threshold >= *account.low_told) return std::nullopt;
    account.low_told = threshold;
    return threshold;
  }
  return std::nullopt;
}

}  // namespace billing::credits
