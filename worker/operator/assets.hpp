// The files that pages refer to, compiled in: nothing is read from a disk, and nothing comes from elsewhere.
#pragma once

#include <string_view>

namespace billing::worker::operators {

extern const std::string_view kStyle;
extern const std::string_view kScript;
extern const std::string_view kIcon;

}  // namespace billing::worker::operators
