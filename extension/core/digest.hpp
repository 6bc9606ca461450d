// SHA-256, and bytes as text.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace billing {

// Two lower-case digits for each byte.
std::string hex(std::span<const unsigned char> bytes);

// The SHA-256 of the text, in hex: 64 characters.
std::string sha256_hex(std::string_view text);

}  // namespace billing
