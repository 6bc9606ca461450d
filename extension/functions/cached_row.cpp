#include "functions/cached_row.hpp"

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
  kExpiresAt
};

}  // namespace

CachedRow find_cached_row(Oid schema, const char* user_id, size_t length, TimestampTz now, int64 generation,
                          bool want_state) {
  CachedRow row;
  const Oid table = get_relname_relid("subscription_cache", schema);
  const Oid index = get_relname_relid("subscription_cache_pkey", schema);
  if (table == InvalidOid || index == InvalidOid) {
    row.result = CachedRow::Result::unusable;
    return row;
  }
  if (pg_class_aclcheck(table, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
    aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, "subscription_cache");
  if (check_enable_rls(table, InvalidOid, true) == RLS_ENABLED) {
    row.result = CachedRow::Result::unusable;
    return row;
  }
  Relation relation = table_open(table, AccessShareLock);
  Relation key_index = index_open(index, AccessShareLock);
  TupleTableSlot* slot = table_slot_create(relation, nullptr);
  ScanKeyData key;
  ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_TEXTEQ,
              PointerGetDatum(cstring_to_text_with_len(user_id, static_cast<int>(length))));
  key.sk_collation = C_COLLATION_OID;
#if PG_VERSION_NUM >= 180000
  IndexScanDesc scan = index_beginscan(relation, key_index, GetActiveSnapshot(), nullptr, 1, 0);
#else
  IndexScanDesc scan = index_beginscan(relation, key_index, GetActiveSnapshot(), 1, 0);
#endif
  index_rescan(scan, &key, 1, nullptr, 0);
  if (index_getnext_slot(scan, ForwardScanDirection, slot)) {
    bool null = false;
    const TimestampTz from = DatumGetTimestampTz(slot_getattr(slot, kValidFrom, &null));
    const TimestampTz until = DatumGetTimestampTz(slot_getattr(slot, kValidUntil, &null));
    const TimestampTz expires = DatumGetTimestampTz(slot_getattr(slot, kExpiresAt, &null));
    const int64 made_with = DatumGetInt64(slot_getattr(slot, kGeneration, &null));
    if (from <= now && now < until && now < expires && made_with == generation) {
      row.result = CachedRow::Result::hit;
      row.has_access = DatumGetBool(slot_getattr(slot, kHasAccess, &null));
      if (want_state) row.state = DatumGetJsonbPCopy(slot_getattr(slot, kState, &null));
    }
  }
  index_endscan(scan);
  ExecDropSingleTupleTableSlot(slot);
  index_close(key_index, AccessShareLock);
  table_close(relation, AccessShareLock);
  return row;
}

}  // namespace billing
