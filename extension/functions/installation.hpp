// When the extension was installed.
#pragma once

#include "core/instant.hpp"
#include "pg/prelude.hpp"

namespace billing {

// For settings(), which keeps it. Without its sequence nothing is new enough.
Seconds installed_at(Oid schema);

}  // namespace billing
