#include "core/credit_chain.hpp"

#include <algorithm>

namespace billing::credits {
namespace {

constexpr const char* kMore = ":more:";

}  // namespace

std::string more_key(const std::string& key, std::size_t n) { return key + kMore + std::to_string(n); }

std::string first_key(const std::string& key) { return key.substr(0, key.rfind(kMore)); }

ChainTargets settle_chain(const std::vector<Amount>& amounts, Amount due, const Reversal& reversal,
                          DebtPolicy policy) {
  ChainTargets result;
  std::vector<Amount> kept;
  Amount left = due;
  for (const Amount amount : amounts) {
    kept.push_back(std::min(amount, left));
    left -= kept.back();
  }
  result.more = left;
  ReversalTarget back = reversal_target(reversal, due, policy);
  const auto take = [&](Amount most) {
    ReversalTarget part;
    part.target = std::min(back.target, most);
    part.debt_limit = std::min(back.debt_limit, part.target);
    back.target -= part.target;
    back.debt_limit -= part.debt_limit;
    return part;
  };
  result.more_target = take(result.more);
  result.targets.resize(amounts.size());
  for (std::size_t i = amounts.size(); i-- > 0;) {
    result.targets[i] = take(kept[i]);
    result.targets[i].target += amounts[i] - kept[i];
  }
  return result;
}

}  // namespace billing::credits
