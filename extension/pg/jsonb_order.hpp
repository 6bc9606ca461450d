// The order in which a jsonb object keeps its keys: whoever makes one by hand has to keep it.
#pragma once

#include <cstring>

#include "pg/prelude.hpp"

namespace billing::pg {

// As lengthCompareJsonbStringValue(), which the server keeps to itself: the shorter first, then by bytes.
inline bool goes_before(const JsonbPair& a, const JsonbPair& b) {
  const auto& [a_size, a_data] = a.key.val.string;
  const auto& [b_size, b_data] = b.key.val.string;
  return a_size != b_size ? a_size < b_size
                          : std::memcmp(a_data, b_data, static_cast<std::size_t>(a_size)) < 0;
}

}  // namespace billing::pg
