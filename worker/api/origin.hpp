// Where front ends are: origins of pages that may call, and addresses that customers may be sent to.
// https://www.rfc-editor.org/rfc/rfc6454
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace billing::worker::api {

// Scheme, host and port of an http or https URL, as browsers write them; nothing when it has a user, or
// anything that programs read differently.
std::optional<std::string> origin_of(std::string_view url);

bool is_listed(const std::string& origin, const std::vector<std::string>& origins);

// The URL itself when it leads to one of the origins; a path leads to `home`. Nothing otherwise.
std::optional<std::string> landing_url(std::string_view url, const std::vector<std::string>& origins,
                                       const std::string& home);

}  // namespace billing::worker::api
