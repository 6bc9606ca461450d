#include "worker/stripe/retry.hpp"

#include <algorithm>

namespace billing::stripe {
namespace {

constexpr std::chrono::milliseconds kLongest(8000);
constexpr std::chrono::seconds kLongestAsked(60);

bool is_worth_it(const Attempt& attempt) {
  if (attempt.should_retry) return *attempt.should_retry;
  // 409: another request with this key, or on this object, is being handled.
  return attempt.status == 0 || attempt.status == 409 || attempt.status == 429 || attempt.status >= 500;
}

}  // namespace

std::optional<std::chrono::milliseconds> retry_in(const Attempt& attempt, double jitter,
                                                  std::chrono::milliseconds first) {
  if (attempt.number >= kMostAttempts || !is_worth_it(attempt)) return std::nullopt;
  const auto whole = std::min(first * (1 << (attempt.number - 1)), kLongest);
  auto wait = whole / 2 +
              std::chrono::duration_cast<std::chrono::milliseconds>(whole / 2 * std::clamp(jitter, 0.0, 1.0));
  if (attempt.retry_after)
    wait = std::max<std::chrono::milliseconds>(wait, std::min(*attempt.retry_after, kLongestAsked));
  return wait;
}

}  // namespace billing::stripe
