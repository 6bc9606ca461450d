// Reading JSON from outside: limits, and getters that never throw on a wrong type.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "core/instant.hpp"
#include "core/json_tree.hpp"

namespace billing {

inline constexpr int kMaxJsonDepth = 64;

// The text is not usable as JSON: bad syntax, nested deeper than kMaxJsonDepth, or a number out of range.
class JsonError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Parses `text` (valid UTF-8). "\u0000" and lone surrogate escapes, which jsonb refuses, become U+FFFD, so
// that what is returned can always be stored. Of duplicate keys the last one wins, as in jsonb.
// Throws JsonError.
Json parse_json(std::string_view text);

// What is parsed for `text`: `text` itself, or `buffer` holding a copy of it in which what jsonb refuses is
// replaced. Throws JsonError when it is nested too deep.
std::string_view storable_json(std::string_view text, std::string& buffer);

// Serialises for jsonb. Never throws on text that came through parse_json.
std::string to_text(const Json& value);
// The beginning of the same, for messages.
std::string excerpt(const Json& value);

// The member `key` of an object, or a shared null value: chains safely, `at(at(x, "a"), "b")`.
const Json& at(const Json& value, const char* key);

// The member as text, integer or boolean; nothing when absent, null, or of another type.
std::optional<std::string> text_of(const Json& value, const char* key);
std::optional<std::int64_t> integer_of(const Json& value, const char* key);
// A time in whole seconds, from 1970 to the end of year 9999; nothing when it is not.
std::optional<Seconds> time_of(const Json& value, const char* key);
bool flag_of(const Json& value, const char* key);  // absent and null are false

// The id behind an expandable field, which is either the id itself or the whole object; "" when neither.
std::string id_of(const Json& value, const char* key);

// The elements of a Stripe list object ({"object":"list","data":[...]}) or of a plain array; empty otherwise.
const Json& list_of(const Json& value, const char* key);

}  // namespace billing
