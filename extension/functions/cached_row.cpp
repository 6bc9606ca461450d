#include "functions/cached_row.hpp"

#include "functions/user_row.hpp"

namespace billing {

namespace {

// Positions in CREATE TABLE subscription_cache.
enum Column {
  kUserId = 1,
  kStatus,
  kHasAccess,
  kState,
  kValidFrom,
  kValidUntil,
  kGeneration,
  kCachedAt,
  kExpiresAt,
  kFrozenTime,
  kPlans
};

UserTable cache_table{pg::KnownRelation("subscription_cache"), pg::KnownRelation("subscription_cache_pkey")};

}  // namespace

CachedRow find_cached_row(Oid schema, const char* user_id, size_t length, TimestampTz now, int64 generation,
                          CachedRow::Part part) {
  CachedRow row;
  const auto read = [&](TupleTableSlot* slot) {
    bool null = false;
    const TimestampTz from = DatumGetTimestampTz(slot_getattr(slot, kValidFrom, &null));
    const TimestampTz until = DatumGetTimestampTz(slot_getattr(slot, kValidUntil, &null));
    const TimestampTz expires = DatumGetTimestampTz(slot_getattr(slot, kExpiresAt, &null));
    const int64 made_with = DatumGetInt64(slot_getattr(slot, kGeneration, &null));
    if (from > now || now >= until || now >= expires || made_with != generation) return false;
    row.result = CachedRow::Result::hit;
    row.has_access = DatumGetBool(slot_getattr(slot, kHasAccess, &null));
    const Datum frozen = slot_getattr(slot, kFrozenTime, &null);
    row.time = null ? now : DatumGetTimestampTz(frozen);
    if (part == CachedRow::Part::state) row.state = DatumGetJsonbPCopy(slot_getattr(slot, kState, &null));
    if (part == CachedRow::Part::plans) {
      const Datum plans = slot_getattr(slot, kPlans, &null);
      if (null) return false;
      text* copied = DatumGetTextPCopy(plans);
      row.plans = VARDATA(copied);
      row.plans_size = VARSIZE(copied) - VARHDRSZ;
    }
    return false;
  };
  if (probe_user_rows(schema, cache_table, user_id, length, read) == Probe::unusable)
    row.result = CachedRow::Result::unusable;
  return row;
}

}  // namespace billing
