// Reading as the owner of a table, whoever calls.
#pragma once

#include <exception>

#include "pg/boundary.hpp"

namespace billing::pg {

// While it lives the current user is the table's owner, as in a SECURITY DEFINER function.
class AsOwner {
 public:
  explicit AsOwner(Oid table) {
    guard([&] {
      HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
      if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for relation %u", table);
      const Oid owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
      ReleaseSysCache(tuple);
      GetUserIdAndSecContext(&user_, &context_);
      SetUserIdAndSecContext(owner, context_ | SECURITY_LOCAL_USERID_CHANGE);
    });
  }
  ~AsOwner() { SetUserIdAndSecContext(user_, context_); }
  AsOwner(const AsOwner&) = delete;
  AsOwner& operator=(const AsOwner&) = delete;

 private:
  Oid user_ = InvalidOid;
  int context_ = 0;
};

// The same, and statements see what is committed at this moment: what a copy is kept of must be neither what
// a caller may not read nor what an old snapshot of its transaction sees.
class AsOwnerNow {
 public:
  explicit AsOwnerNow(Oid table) : owner_(table) {
    guard([&] { PushActiveSnapshot(GetCatalogSnapshot(table)); });
  }
  ~AsOwnerNow() {
    if (std::uncaught_exceptions() == exceptions_) PopActiveSnapshot();
  }
  AsOwnerNow(const AsOwnerNow&) = delete;
  AsOwnerNow& operator=(const AsOwnerNow&) = delete;

 private:
  AsOwner owner_;
  int exceptions_ = std::uncaught_exceptions();
};

}  // namespace billing::pg
