// The tree of a JSON document: nlohmann's, of which the many small parts cost little to make and to give
// back.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <new>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "core/json_fwd.hpp"

namespace billing {

// What trees were made of and gave back, by size, for the next ones: an event is hundreds of parts, which
// live as long as its batch. One for each thread; one that ends leaves what it kept, so it is trivial to
// destroy: trees may outlive it.
class TreeBlocks {
 public:
  void* take(std::size_t bytes) {
    const std::size_t size = rounded(bytes);
    if (size > kMostPooled) return ::operator new(size);
    Block*& free = free_[size / kStep];
    if (free == nullptr) return ::operator new(size);
    kept_ -= size;
    return std::exchange(free, free->next);
  }
  void give_back(void* memory, std::size_t bytes) noexcept {
    const std::size_t size = rounded(bytes);
    if (size > kMostPooled || kept_ + size > kMostKept) return ::operator delete(memory);
    Block*& free = free_[size / kStep];
    free = ::new (memory) Block{free};
    kept_ += size;
  }

 private:
  struct Block {
    Block* next;
  };
  static constexpr std::size_t kStep = 16;
  static constexpr std::size_t kMostPooled = 512;        // bytes: an array of 32 elements
  static constexpr std::size_t kMostKept = 1024 * 1024;  // bytes: the trees of some fifty events
  static std::size_t rounded(std::size_t bytes) {
    return (std::max<std::size_t>(bytes, 1) + kStep - 1) / kStep * kStep;
  }

  std::array<Block*, kMostPooled / kStep + 1> free_{};
  std::size_t kept_ = 0;
};

inline constinit thread_local TreeBlocks tree_blocks;

template <typename Part>
class PooledAllocator {
 public:
  using value_type = Part;
  PooledAllocator() = default;
  template <typename Other>
  PooledAllocator(const PooledAllocator<Other>& /*stateless*/) {}  // implicit, as allocators convert

  Part* allocate(std::size_t count) {
    static_assert(alignof(Part) <= alignof(std::max_align_t));
    return static_cast<Part*>(tree_blocks.take(count * sizeof(Part)));
  }
  void deallocate(Part* parts, std::size_t count) noexcept {
    tree_blocks.give_back(parts, count * sizeof(Part));
  }
  friend bool operator==(const PooledAllocator&, const PooledAllocator&) { return true; }
};

}  // namespace billing
