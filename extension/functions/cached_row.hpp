// One probe of subscription_cache, without SPI: what a reader's hit costs.
#pragma once

#include "pg/prelude.hpp"
#include "pg/spi.hpp"

namespace billing {

struct CachedRow {
  enum class Result { hit, miss, unusable } result = Result::miss;
  bool has_access = false;
  TimestampTz time = 0;  // the user's own: `now`, or what a test clock shows
  // What was asked for, copied into the current memory context.
  enum class Part { none, state, plans };
  Jsonb* state = nullptr;
  const char* plans = nullptr;  // functions/stored_holdings; null when they are not kept
  size_t plans_size = 0;
};

// Looks up the user's row with the active snapshot. A hit is valid at `now`, not expired, and of
// `generation`. `unusable`: row-level security applies to the caller, so only SPI may read. Raises when the
// caller may not SELECT from the table. Plain data: to be called under guard().
CachedRow find_cached_row(Oid schema, const char* user_id, size_t length, TimestampTz now, int64 generation,
                          CachedRow::Part part);

}  // namespace billing
