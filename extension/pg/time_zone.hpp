// Time zones as the server knows them.
#pragma once

#include <cstdint>
#include <string>

#include "pg/prelude.hpp"

namespace billing::pg {

// Whether `name` is one of the time zone database: "UTC", "Europe/Berlin". Rules written out ("EST5EDT") and
// offsets are not.
bool is_time_zone(const std::string& name);

// How far the clocks of a zone are ahead of UTC at an instant; both in seconds.
class TimeZone {
 public:
  // Raises when the server does not know it (any more).
  explicit TimeZone(const std::string& name);
  std::int64_t offset_at(std::int64_t seconds) const;

 private:
  pg_tz* zone_;  // the server keeps it for as long as the process runs
};

}  // namespace billing::pg
