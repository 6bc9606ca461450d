// What a role may do with a table, found out once: what hot paths ask on every call.
#pragma once

#include "pg/prelude.hpp"

namespace billing::pg {

// That the current role holds these privileges on a table, that row-level security does not apply to it, and
// whatever else is looked for. Kept until any relation, role or membership changes, so that the answer is
// what looking again would find. Meant for static storage.
class TableRights {
 public:
  // `look` is asked for what else has to be so, which only the relation and the role may decide. Called under
  // guard(). A caller that has locked the table knows that it stays so.
  template <typename Look>
  bool hold(Oid table, AclMode privileges, Look look) {
    if (are_kept(table, privileges)) return true;
    // Counted before the look, so that a change that arrives during it is not lost.
    const uint64 seen = changes();
    if (!are_held(table, privileges) || !look()) return false;
    table_ = table;
    role_ = GetUserId();
    privileges_ = privileges;
    seen_ = seen;
    return true;
  }

 private:
  bool are_kept(Oid table, AclMode privileges) const;
  static bool are_held(Oid table, AclMode privileges);
  static uint64 changes();

  Oid table_ = InvalidOid;
  Oid role_ = InvalidOid;
  AclMode privileges_ = 0;
  uint64 seen_ = 0;
};

}  // namespace billing::pg
