// A parameter of a statement as a Datum.
#pragma once

#include "pg/spi.hpp"

namespace billing::pg {

// In the current memory context. To be called under guard().
Datum encode(const Parameter& value);

}  // namespace billing::pg
