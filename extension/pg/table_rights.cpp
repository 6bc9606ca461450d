#include "pg/table_rights.hpp"

namespace billing::pg {

namespace {

uint64 changed = 1;
bool watching = false;

void note_row(Datum, int, uint32) { ++changed; }
void note_relation(Datum, Oid) { ++changed; }

}  // namespace

uint64 TableRights::changes() {
  if (!watching) {
    // What the server's own memory of memberships follows, and what a relation consists of.
    for (const auto cache : {AUTHMEMROLEMEM, AUTHOID, DATABASEOID, RELOID})
      CacheRegisterSyscacheCallback(cache, note_row, Datum(0));
    CacheRegisterRelcacheCallback(note_relation, Datum(0));
    watching = true;
  }
  return changed;
}

bool TableRights::are_kept(Oid table, AclMode privileges) const {
  return seen_ == changed && table_ == table && role_ == GetUserId() && privileges_ == privileges;
}

bool TableRights::are_held(Oid table, AclMode privileges) {
  // All of them: pg_class_aclcheck() is content with any.
  return pg_class_aclmask(table, GetUserId(), privileges, ACLMASK_ALL) == privileges &&
         check_enable_rls(table, InvalidOid, true) != RLS_ENABLED;
}

}  // namespace billing::pg
