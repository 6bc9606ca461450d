// What a stored state says of the user's subscriptions, read from the jsonb itself.
#pragma once

#include "pg/prelude.hpp"

namespace billing {

struct StoredSubscription {
  const char* id;
  int size;
  bool has_access;
};
// As many as `count`, which lie in the jsonb and in memory of the current context. To be called under
// guard().
const StoredSubscription* stored_subscriptions(const Jsonb* state, int* count);

}  // namespace billing
