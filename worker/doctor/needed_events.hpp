// The events that the extension lives on, and what is lost without each.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.hpp"

namespace billing::doctor {

struct NeededEvent {
  std::string_view type;
  std::string_view without;
};

// Sorted by type. docs/installation.md has the same by kind.
std::span<const NeededEvent> needed_events();

// Those that an endpoint with these enabled_events does not get.
std::vector<NeededEvent> missing_events(const Json& enabled_events);

}  // namespace billing::doctor
