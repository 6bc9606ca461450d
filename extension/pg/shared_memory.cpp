#include "pg/shared_memory.hpp"

#include "pg/prelude.hpp"

namespace billing::pg {
namespace {

constexpr int kStripes = 64;
constexpr int kQueueLength = 1024;
// One database may fill half of the queue, so that one which nobody refreshes leaves room for the others.
constexpr int kDatabaseShare = kQueueLength / 2;
// A note that nobody took for this long is given up when room is needed: its database has no refresh loop.
constexpr int kAbandonedAfterSeconds = 60;

constexpr char kName[] = "pg_billing";

// A cache line of its own (128 bytes covers the pairs that adjacent-line prefetch makes).
struct alignas(128) Stripe {
  pg_atomic_uint64 hits;
  pg_atomic_uint64 misses;
};

struct Note {
  TimestampTz noted_at;
  uint8 length;
  char user_id[kMaxUserIdLength];
};

// Notes lie in the order they came. The keys (database and hash of the user id) are apart from them, so that
// looking for a duplicate reads 8 kB at most. Two users of equal hash: the second is noted once the first was
// taken.
struct State {
  Stripe stripes[kStripes];
  LWLock* lock;
  int length;
  uint64 keys[kQueueLength];
  Note notes[kQueueLength];
};

State* state = nullptr;
shmem_startup_hook_type previous_startup_hook = nullptr;

uint64 note_key(const char* user_id, size_t length) {
  uint32 hash = 2166136261U;  // FNV-1a
  for (size_t i = 0; i < length; ++i) hash = (hash ^ static_cast<unsigned char>(user_id[i])) * 16777619U;
  return (static_cast<uint64>(MyDatabaseId) << 32) | hash;
}

Oid key_database(uint64 key) { return static_cast<Oid>(key >> 32); }

Stripe* own_stripe() {
#if PG_VERSION_NUM >= 170000
  int number = MyProcNumber;
#else
  int number = MyProc != nullptr ? MyProc->pgprocno : -1;
#endif
  return &state->stripes[number >= 0 ? number % kStripes : 0];
}

void move_note(int from, int to) {
  if (from == to) return;
  state->keys[to] = state->keys[from];
  state->notes[to] = state->notes[from];
}

void drop_abandoned(TimestampTz now) {
  int kept = 0;
  for (int i = 0; i < state->length; ++i) {
    if (!TimestampDifferenceExceeds(state->notes[i].noted_at, now, kAbandonedAfterSeconds * 1000))
      move_note(i, kept++);
  }
  state->length = kept;
}

// The notes are in order of time, so the first one tells whether any is abandoned.
bool make_room(int of_this_database, TimestampTz now) {
  bool full = state->length == kQueueLength;
  if (!full && of_this_database < kDatabaseShare) return true;
  if (!full || !TimestampDifferenceExceeds(state->notes[0].noted_at, now, kAbandonedAfterSeconds * 1000))
    return false;
  drop_abandoned(now);
  return of_this_database < kDatabaseShare;
}

bool append_note(uint64 key, const char* user_id, size_t length) {
  int of_this_database = 0;
  for (int i = 0; i < state->length; ++i) {
    if (state->keys[i] == key) return true;
    if (key_database(state->keys[i]) == MyDatabaseId) ++of_this_database;
  }
  TimestampTz now = GetCurrentTimestamp();
  if (!make_room(of_this_database, now)) return false;
  int place = state->length++;
  state->keys[place] = key;
  Note* note = &state->notes[place];
  note->noted_at = now;
  note->length = static_cast<uint8>(length);
  std::memcpy(note->user_id, user_id, length);
  return true;
}

void create_state() {
  if (previous_startup_hook != nullptr) previous_startup_hook();
  LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
  bool found = false;
  auto* created = static_cast<State*>(ShmemInitStruct(kName, sizeof(State), &found));
  if (!found) {
    std::memset(static_cast<void*>(created), 0, sizeof(State));
    for (Stripe& stripe : created->stripes) {
      pg_atomic_init_u64(&stripe.hits, 0);
      pg_atomic_init_u64(&stripe.misses, 0);
    }
    created->lock = &GetNamedLWLockTranche(kName)->lock;
  }
  state = created;
  LWLockRelease(AddinShmemInitLock);
}

void request_space() {
  RequestAddinShmemSpace(sizeof(State));
  RequestNamedLWLockTranche(kName, 1);
}

#if PG_VERSION_NUM >= 150000
shmem_request_hook_type previous_request_hook = nullptr;

void request_space_by_hook() {
  if (previous_request_hook != nullptr) previous_request_hook();
  request_space();
}
#endif

}  // namespace

void request_shared_memory() {
  if (!process_shared_preload_libraries_in_progress) return;
#if PG_VERSION_NUM >= 150000
  previous_request_hook = shmem_request_hook;
  shmem_request_hook = request_space_by_hook;
#else
  request_space();
#endif
  previous_startup_hook = shmem_startup_hook;
  shmem_startup_hook = create_state;
}

bool shared_memory_ready() { return state != nullptr; }

void count_cache_hit() {
  if (state != nullptr) pg_atomic_fetch_add_u64(&own_stripe()->hits, 1);
}

void count_cache_miss() {
  if (state != nullptr) pg_atomic_fetch_add_u64(&own_stripe()->misses, 1);
}

bool cache_counters(uint64_t* hits, uint64_t* misses) {
  if (state == nullptr) return false;
  *hits = 0;
  *misses = 0;
  for (Stripe& stripe : state->stripes) {
    *hits += pg_atomic_read_u64(&stripe.hits);
    *misses += pg_atomic_read_u64(&stripe.misses);
  }
  return true;
}

bool note_user(const char* user_id, size_t length) {
  if (state == nullptr || length == 0 || length > kMaxUserIdLength || RecoveryInProgress()) return false;
  if (!LWLockConditionalAcquire(state->lock, LW_EXCLUSIVE)) return false;
  bool noted = append_note(note_key(user_id, length), user_id, length);
  LWLockRelease(state->lock);
  return noted;
}

int take_noted_users(char (*out)[kNotedUserSize], int max) {
  if (state == nullptr || max <= 0) return 0;
  LWLockAcquire(state->lock, LW_EXCLUSIVE);
  int taken = 0;
  int kept = 0;
  for (int i = 0; i < state->length; ++i) {
    if (taken == max || key_database(state->keys[i]) != MyDatabaseId) {
      move_note(i, kept++);
      continue;
    }
    const Note& note = state->notes[i];
    std::memcpy(out[taken], note.user_id, note.length);
    out[taken][note.length] = '\0';
    ++taken;
  }
  state->length = kept;
  LWLockRelease(state->lock);
  return taken;
}

}  // namespace billing::pg
