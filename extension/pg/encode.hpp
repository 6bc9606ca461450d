// Values of parameters and results as Datums, and back.
#pragma once

#include "pg/spi.hpp"

namespace billing::pg {

// In the current memory context. To be called under guard().
Datum encode(const Parameter& value);

// What is not passed by value is pointed to, not copied. To be called under guard().
void decode(Datum value, Oid type, Cell* cell);

// A scan of what the active snapshot sees, by the first `width` columns of an index, and its rows in which
// these have the values of a key: once for each key that is asked for. To be called under guard(); ended by
// index_endscan().
IndexScanDesc begin_scan(Relation table, Relation index, int width);
void scan_for(IndexScanDesc scan, const Parameter* key);

}  // namespace billing::pg
