// What row-level security leaves of a table, where that can be said without a statement.
#pragma once

#include "pg/prelude.hpp"

namespace billing::pg {

// Whether the current role sees every row: no row-level security applies to it, or a policy for everybody has
// "... OR (SELECT has_table_privilege(<table>, 'SELECT'))", the role has that privilege, and no other policy
// restricts it. False also where only a statement can tell. To be called under guard().
bool sees_every_row(Relation relation);

}  // namespace billing::pg
