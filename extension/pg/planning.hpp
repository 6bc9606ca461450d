// How plans of the extension's own statements are made, and run.
#pragma once

#include "pg/prelude.hpp"

namespace billing::pg {

// Runs a kept plan of a statement about the tables of `schema`, and says whether it is to be kept. Called
// under guard(): may raise.
bool run_plan(Oid schema, SPIPlanPtr plan, Datum* values, const char* nulls, bool read_only, int* code);

}  // namespace billing::pg
