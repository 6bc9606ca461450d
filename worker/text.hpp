// Small things about text: UTF-8, JSON strings, splitting.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace billing::worker {

// Well-formed UTF-8 as PostgreSQL sees it: no overlong forms, no surrogates, nothing above U+10FFFF.
// A NUL byte is well-formed here; whoever stores text asks for it separately.
bool valid_utf8(std::string_view text);

// Appends `text` as a JSON string with its quotes. Whatever is not UTF-8 appears as \u00XX, byte by byte.
void append_json_string(std::string& out, std::string_view text);
std::string json_string(std::string_view text);

// At most `limit` bytes of `text`, cut between characters.
std::string_view clip(std::string_view text, std::size_t limit);

std::string_view trim(std::string_view text);
std::vector<std::string> split(std::string_view text, char separator);
// RFC 3986: all but letters, digits and -._~ as %XX.
std::string percent_encode(std::string_view text);
bool equals_ignoring_case(std::string_view left, std::string_view right);

}  // namespace billing::worker
