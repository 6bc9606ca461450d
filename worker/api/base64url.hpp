// base64url as tokens and keys have it: RFC 4648 section 5, without padding.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace billing::worker::api {

// Nothing for anything but the one encoding of some bytes: no padding, no white space, no bits left over.
std::optional<std::string> decode_base64url(std::string_view text);
std::string encode_base64url(std::string_view bytes);

}  // namespace billing::worker::api
