// Reading JSON from outside: limits, and getters that never throw on a wrong type.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace billing {

using Json = nlohmann::json;

// Seconds since 1970-01-01 UTC, as Stripe sends every time.
using Seconds = std::int64_t;

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

// Serialises for jsonb. Never throws on text that came through parse_json.
std::string to_text(const Json& value);

// The member `key` of an object, or a shared null value: chains safely, `at(at(x, "a"), "b")`.
const Json& at(const Json& value, const char* key);

// The member as text, integer or boolean; nothing when absent, null, or of another type.
std::optional<std::string> text_of(const Json& value, const char* key);
std::optional<std::int64_t> integer_of(const Json& value, const char* key);
bool flag_of(const Json& value, const char* key);  // absent and null are false

// The id behind an expandable field, which is either the id itself or the whole object; "" when neither.
std::string id_of(const Json& value, const char* key);

// The elements of a Stripe list object ({"object":"list","data":[...]}) or of a plain array; empty otherwise.
const Json& list_of(const Json& value, const char* key);

}  // namespace billing
