// Random numbers that are the same on every platform, which <random>'s distributions are not.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace billing::simulation {

// Whoever draws twice does it in two statements: the order in which arguments are evaluated is the
// compiler's.
class Random {
 public:
  // Streams of one seed are independent of each other.
  explicit Random(std::uint64_t seed, std::uint64_t stream = 0) : state_(seed) {
    state_ = next() ^ (stream * 0xD1342543DE82EF95U);
    next();
  }

  // SplitMix64, https://prng.di.unimi.it/splitmix64.c
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15U);
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31U);
  }
  std::uint64_t below(std::uint64_t limit) { return next() % limit; }
  // Both ends included.
  std::int64_t between(std::int64_t first, std::int64_t last) {
    return first + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(last - first) + 1));
  }
  bool chance(double probability) { return static_cast<double>(next() >> 11U) * 0x1p-53 < probability; }
  template <typename Container>
  const auto& pick(const Container& container) {
    return container[below(container.size())];
  }
  // The index of one of the weights.
  std::size_t weighted(std::initializer_list<unsigned> weights) {
    unsigned sum = 0;
    for (const unsigned weight : weights) sum += weight;
    std::uint64_t left = below(sum);
    std::size_t index = 0;
    for (const unsigned weight : weights) {
      if (left < weight) break;
      left -= weight;
      ++index;
    }
    return index;
  }
  // As Stripe's ids look: 24 letters and digits behind the prefix.
  std::string id(std::string_view prefix) {
    constexpr std::string_view kAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    std::string text(prefix);
    for (int part = 0; part < 3; ++part) {
      std::uint64_t bits = next();
      for (int i = 0; i < 8; ++i, bits /= kAlphabet.size()) text += kAlphabet[bits % kAlphabet.size()];
    }
    return text;
  }

 private:
  std::uint64_t state_;
};

}  // namespace billing::simulation
