// A fuzzer's bytes, spent on choices. What is spent reads as zeros, so that every input is a whole one.
#pragma once

#include <array>
#include <cstdlib>
#include <string>

#include "core/json.hpp"

namespace billing {

inline void require(bool holds) {
  if (!holds) std::abort();
}

class Choices {
 public:
  Choices(const unsigned char* data, std::size_t size) : next_(data), end_(data + size) {}

  unsigned char byte() { return next_ < end_ ? *next_++ : 0; }
  std::size_t below(std::size_t limit) { return byte() % limit; }
  bool flip() { return byte() % 2 == 1; }

  template <std::size_t N>
  std::string one_of(const std::array<const char*, N>& words) {
    return words[below(N)];
  }

  std::int64_t integer() {
    std::uint64_t bits = 0;
    for (int i = 0; i < 8; ++i) bits = bits << 8 | byte();
    return static_cast<std::int64_t>(bits);
  }

  // Any JSON, its keys and most of its texts taken from `keys` and `texts`.
  template <std::size_t N, std::size_t M>
  Json json(const std::array<const char*, N>& keys, const std::array<const char*, M>& texts, int depth) {
    switch (below(depth > 0 ? 12 : 7)) {
      case 0:
        return nullptr;
      case 1:
        return flip();
      case 2:
        return integer();
      case 3:
        return 1767225600 + static_cast<std::int64_t>(byte()) * 3600;
      case 4:
        return static_cast<double>(integer()) / 16;
      case 5:
        return std::string(byte(), 'x');
      case 6:
        return one_of(texts);
      case 7: {
        Json array = Json::array();
        for (std::size_t left = below(4); left > 0; --left) array.push_back(json(keys, texts, depth - 1));
        return array;
      }
      default: {
        Json object = Json::object();
        for (std::size_t left = below(6); left > 0; --left) {
          // The key first: the operands of an assignment are not evaluated in the order they are written.
          const std::string key = one_of(keys);
          object[key] = json(keys, texts, depth - 1);
        }
        return object;
      }
    }
  }

 private:
  const unsigned char* next_;
  const unsigned char* end_;
};

}  // namespace billing
