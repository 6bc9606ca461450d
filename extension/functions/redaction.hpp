// What comes of somebody who was erased brings no personal data back.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "functions/links.hpp"
#include "functions/work.hpp"
#include "settings.hpp"

namespace billing::redaction {

// Redacts the events of whoever was erased, with their payloads, those that are stored too. `locked` are
// links that are held; the others are held here, against erase_user() alone: an event whose customer is being
// erased waits until it is known whether it is.
void apply(const std::vector<Work*>& works, const std::map<std::string, links::Link>& locked,
           const Settings& settings);

// The same as far as it is known, without holding anything: for what could not be applied, and is tried
// again.
void look(const std::vector<Work*>& works, const Settings& settings);

}  // namespace billing::redaction
