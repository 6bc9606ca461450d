#include "pg/time_zone.hpp"

#include <algorithm>
#include <cctype>

#include "pg/boundary.hpp"

namespace billing::pg {

namespace {

pg_tz* find(const std::string& name) {
  if (name.empty() || name.size() > TZ_STRLEN_MAX) return nullptr;
  const char* text = name.c_str();
  return guard([&]() -> pg_tz* {
    pg_tz* zone = pg_tzset(text);
    return zone != nullptr && pg_tz_acceptable(zone) ? zone : nullptr;
  });
}

}  // namespace

bool is_time_zone(const std::string& name) {
  // The server also takes rules in POSIX's own notation, where almost any letters and a number will do.
  const bool plain = std::none_of(
      name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c) != 0 || c == '<' || c == ','; });
  return plain && find(name) != nullptr;
}

TimeZone::TimeZone(const std::string& name) : zone_(find(name)) {
  if (zone_ == nullptr)
    throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "time zone \"" + name + "\" is not known to the server",
                   "pg_timezone_names lists those that are.");
}

std::int64_t TimeZone::offset_at(std::int64_t seconds) const {
  const pg_time_t time = seconds;
  pg_tz* zone = zone_;
  return guard([&]() -> std::int64_t {
    const struct pg_tm* local = pg_localtime(&time, zone);
    return local != nullptr ? local->tm_gmtoff : 0;
  });
}

}  // namespace billing::pg
