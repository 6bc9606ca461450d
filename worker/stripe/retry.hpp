// Which answers are asked for again, and when.
// https://docs.stripe.com/error-low-level#network-failures and the retry rules of Stripe's official libraries
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace billing::stripe {

struct Attempt {
  int number = 1;                                   // from 1
  int status = 0;                                   // 0: no answer came
  std::optional<bool> should_retry;                 // Stripe-Should-Retry, which decides
  std::optional<std::chrono::seconds> retry_after;  // Retry-After
};

inline constexpr int kMostAttempts = 6;
inline constexpr std::chrono::milliseconds kFirstWait(500);

// Until the next attempt; nothing when the answer stands. `jitter` is from 0 to 1. The waits double from
// `first` to at most 8 seconds, each between half of itself and the whole; Retry-After is waited for, up to a
// minute.
std::optional<std::chrono::milliseconds> retry_in(const Attempt& attempt, double jitter,
                                                  std::chrono::milliseconds first = kFirstWait);

}  // namespace billing::stripe
