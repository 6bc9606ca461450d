// The name of a JSON document's tree, for headers that must not include nlohmann's own (core/json_tree.hpp).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace billing {

template <typename Part>
class PooledAllocator;

// The sanitizer sees what is used after it was freed only where it is freed.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PG_BILLING_SEES_FREED_MEMORY
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(PG_BILLING_SEES_FREED_MEMORY)
template <typename Part>
using TreeAllocator = std::allocator<Part>;
#else
template <typename Part>
using TreeAllocator = PooledAllocator<Part>;
#endif

using Json = nlohmann::basic_json<std::map, std::vector, std::string, bool, std::int64_t, std::uint64_t,
                                  double, TreeAllocator>;

}  // namespace billing
