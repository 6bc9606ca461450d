#include "functions/installation.hpp"

#include "pg/owner.hpp"
#include "pg/spi.hpp"

namespace billing {

namespace {

pg::Statement select_time("SELECT i.last_value FROM @billing_installation i");

}  // namespace

Seconds installed_at(Oid schema) {
  const Oid sequence = pg::guard([&] { return get_relname_relid("billing_installation", schema); });
  if (sequence == InvalidOid) return kLastSecond;
  pg::Session session(schema, pg::Session::Access::read_only);
  const pg::AsOwnerNow now(sequence);
  return select_time.run().number(0, 0);
}

}  // namespace billing
