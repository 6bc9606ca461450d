// Relations by name, looked up once: what hot paths open on every call.
#pragma once

#include "pg/prelude.hpp"

namespace billing::pg {

// The OID is kept until any row of pg_class changes, so that whatever was renamed, dropped or rebuilt is
// looked up again, as a look at the system cache would find it. Meant for static storage.
class KnownRelation {
 public:
  explicit constexpr KnownRelation(const char* name) : name_(name) {}
  // InvalidOid when there is none. To be called under guard().
  Oid oid(Oid schema);
  const char* name() const { return name_; }

 private:
  const char* name_;
  Oid schema_ = InvalidOid;
  Oid oid_ = InvalidOid;
  uint64 seen_ = 0;
};

}  // namespace billing::pg
