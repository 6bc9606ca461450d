// What all backends share when the library is preloaded: counters of cache hits and misses, and the user ids
// whose reads missed, for the refresh loop to store. Not preloaded: every call does nothing and says so.
#pragma once

#include <cstddef>
#include <cstdint>

namespace billing::pg {

// The longest user id, and the space that one takes with its terminating zero.
constexpr size_t kMaxUserIdLength = 255;
constexpr size_t kNotedUserSize = kMaxUserIdLength + 1;

// To be called from _PG_init while shared_preload_libraries are loaded.
void request_shared_memory();

bool shared_memory_ready();

void count_cache_hit();
void count_cache_miss();

// Totals of all backends and databases since the server started; false when not preloaded.
bool cache_counters(uint64_t* hits, uint64_t* misses);

// Remembers a user of the current database. Never waits: the note is dropped when the queue is busy or full,
// or on a standby, since the next miss brings it again. Returns whether the user is in the queue now.
bool note_user(const char* user_id, size_t length);

// Takes up to max users of the current database out of the queue, in the order noted; returns how many.
int take_noted_users(char (*out)[kNotedUserSize], int max);

}  // namespace billing::pg
