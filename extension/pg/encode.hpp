// Values of parameters and results as Datums, and back.
#pragma once

#include <initializer_list>

#include "pg/spi.hpp"

namespace billing::pg {

// In the current memory context. To be called under guard().
Datum encode(const Parameter& value);

// What is not passed by value is pointed to, not copied. To be called under guard().
void decode(Datum value, Oid type, Cell* cell);

// The rows of an index whose first columns have these values, as the active snapshot sees them. To be called
// under guard(); ended by index_endscan().
IndexScanDesc scan_for(Relation table, Relation index, std::initializer_list<Parameter> key);

}  // namespace billing::pg
