// One probe of a table by user_id, without SPI: what a reader's hit costs.
#pragma once

#include "pg/known_relation.hpp"
#include "pg/prelude.hpp"
#include "pg/table_rights.hpp"

namespace billing {

enum class Probe { found, missing, unusable };

// A table, and an index of it whose first column is user_id.
struct UserTable {
  pg::KnownRelation table;
  pg::KnownRelation index;
  pg::TableRights rights = {};
};

// Looks up the user's rows with the active snapshot and hands each to `read`, which may only copy out of it
// and says whether it wants more. `unusable`: row-level security applies to the caller, or the rows are not
// here, so only SPI may read. Raises when the caller may not SELECT from the table. To be called under
// guard().
template <typename Read>
Probe probe_user_rows(Oid schema, UserTable& of, const char* user_id, size_t length, Read read) {
  const Oid table = of.table.oid(schema);
  const Oid index = of.index.oid(schema);
  if (table == InvalidOid || index == InvalidOid) return Probe::unusable;
  if (!of.rights.hold(table, ACL_SELECT, [] { return true; })) {
    if (pg_class_aclcheck(table, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
      aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, of.table.name());
    if (check_enable_rls(table, InvalidOid, true) == RLS_ENABLED) return Probe::unusable;
  }
  Relation relation = table_open(table, AccessShareLock);
  // Of a distributed table, which has a trigger, the local one is an empty shell.
  if (relation->trigdesc != nullptr) {
    table_close(relation, AccessShareLock);
    return Probe::unusable;
  }
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
  Probe result = Probe::missing;
  while (index_getnext_slot(scan, ForwardScanDirection, slot)) {
    result = Probe::found;
    if (!read(slot)) break;
  }
  index_endscan(scan);
  ExecDropSingleTupleTableSlot(slot);
  index_close(key_index, AccessShareLock);
  table_close(relation, AccessShareLock);
  return result;
}

}  // namespace billing
