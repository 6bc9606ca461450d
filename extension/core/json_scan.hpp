// JSON as simdjson reads it, some twenty times as fast as a tree is made.
#pragma once

#include <simdjson.h>

#include <optional>
#include <string_view>

namespace billing {

using ScannedJson = simdjson::dom::element;

// What parse_json() would read. Nothing when it is no JSON, is nested too deep, or has a number that simdjson
// does not hold: parse_json() knows what to do with it. Valid until the thread's next call.
std::optional<ScannedJson> scan_json(std::string_view text);

// The member `key` of an object, of duplicate keys the last one; nothing for anything else.
std::optional<ScannedJson> at(const std::optional<ScannedJson>& value, std::string_view key);

}  // namespace billing
