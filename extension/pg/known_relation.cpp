#include "pg/known_relation.hpp"

namespace billing::pg {

namespace {

uint64 changes = 1;
bool watching = false;

void note_change(Datum, int, uint32) { ++changes; }

}  // namespace

Oid KnownRelation::oid(Oid schema) {
  if (schema_ == schema && seen_ == changes && oid_ != InvalidOid) return oid_;
  if (!watching) {
    CacheRegisterSyscacheCallback(RELOID, note_change, Datum(0));
    watching = true;
  }
  // Counted before the look, so that a change that arrives during it is not lost.
  const uint64 seen = changes;
  oid_ = get_relname_relid(name_, schema);
  schema_ = schema;
  seen_ = seen;
  return oid_;
}

}  // namespace billing::pg
