#include "core/json.hpp"

#include "core/json_scan.hpp"

namespace billing {
namespace {

constexpr std::size_t kEscapeLength = 6;  // \uXXXX

// The code unit of a \uXXXX escape at `at`; nothing when there is none. Bad escapes are left to the parser.
std::optional<unsigned> escape_at(std::string_view text, std::size_t at) {
  if (text.size() < kEscapeLength || at > text.size() - kEscapeLength || text[at] != '\\' ||
      text[at + 1] != 'u') {
    return std::nullopt;
  }
  unsigned unit = 0;
  for (std::size_t i = at + 2; i < at + kEscapeLength; ++i) {
    const char c = text[i];
    unit <<= 4;
    if (c >= '0' && c <= '9') {
      unit += static_cast<unsigned>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      unit += static_cast<unsigned>(c - 'a' + 10);
    } else if (c >= 'A' && c <= 'F') {
      unit += static_cast<unsigned>(c - 'A' + 10);
    } else {
      return std::nullopt;
    }
  }
  return unit;
}

bool is_high_surrogate(unsigned unit) { return unit >= 0xd800 && unit <= 0xdbff; }
bool is_low_surrogate(unsigned unit) { return unit >= 0xdc00 && unit <= 0xdfff; }

Json tree_of(ScannedJson value) {
  using simdjson::dom::element_type;
  switch (value.type()) {
    case element_type::OBJECT: {
      const simdjson::dom::object object = value.get_object().value_unsafe();
      Json::object_t members;
      for (const auto [key, member] : object)
        members.insert_or_assign(members.end(), std::string(key), tree_of(member));
      return members;
    }
    case element_type::ARRAY: {
      const simdjson::dom::array list = value.get_array().value_unsafe();
      Json::array_t elements;
      elements.reserve(list.size());
      for (const ScannedJson element : list) elements.push_back(tree_of(element));
      return elements;
    }
    case element_type::STRING:
      return std::string(value.get_string().value_unsafe());
    case element_type::INT64: {
      // What is not negative is unsigned to nlohmann.
      const std::int64_t number = value.get_int64().value_unsafe();
      return number < 0 ? Json(number) : Json(static_cast<std::uint64_t>(number));
    }
    case element_type::UINT64:
      return value.get_uint64().value_unsafe();
    case element_type::DOUBLE:
      return value.get_double().value_unsafe();
    case element_type::BOOL:
      return value.get_bool().value_unsafe();
    case element_type::NULL_VALUE:
      break;
  }
  return nullptr;
}

}  // namespace

std::string_view storable_json(std::string_view text, std::string& buffer) {
  int depth = 0;
  bool in_string = false;
  bool copied = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (!in_string) {
      if (c == '"') {
        in_string = true;
      } else if (c == '{' || c == '[') {
        if (++depth > kMaxJsonDepth) {
          throw JsonError("json is nested deeper than " + std::to_string(kMaxJsonDepth) + " levels");
        }
      } else if (c == '}' || c == ']') {
        --depth;
      }
      continue;
    }
    if (c == '"') {
      in_string = false;
    } else if (c == '\\') {
      const std::optional<unsigned> unit = escape_at(text, i);
      if (!unit) {
        ++i;  // a two-character escape; its second character may be a quote
        continue;
      }
      if (is_high_surrogate(*unit) && is_low_surrogate(escape_at(text, i + kEscapeLength).value_or(0))) {
        i += 2 * kEscapeLength - 1;
        continue;
      }
      if (*unit == 0 || is_high_surrogate(*unit) || is_low_surrogate(*unit)) {
        if (!copied) buffer.assign(text);
        copied = true;
        buffer.replace(i, kEscapeLength, "\\ufffd");
      }
      i += kEscapeLength - 1;
    }
  }
  return copied ? std::string_view(buffer) : text;
}

// The parser's own messages quote the text, which may hold personal data and ends up in logs: only the place
// is passed on.
Json parse_json(std::string_view text) {
  if (text.empty()) throw JsonError("json is empty");
  if (const auto scanned = scan_json(text)) return tree_of(*scanned);
  std::string buffer;
  const std::string_view storable = storable_json(text, buffer);
  try {
    return Json::parse(storable);
  } catch (const Json::parse_error& error) {
    throw JsonError("invalid json at byte " + std::to_string(error.byte));
  } catch (const Json::out_of_range&) {
    throw JsonError("json holds a number that is out of range");
  }
}

std::string to_text(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string excerpt(const Json& value) {
  constexpr std::size_t kMaxBytes = 64;
  std::string text = to_text(value);
  if (text.size() <= kMaxBytes) return text;
  std::size_t end = kMaxBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80)
    --end;  // within a UTF-8 character
  text.resize(end);
  return text + "...";
}

const Json& at(const Json& value, const char* key) {
  static const Json null;
  if (!value.is_object()) return null;
  const auto member = value.find(key);
  return member == value.end() ? null : *member;
}

std::optional<std::string> text_of(const Json& value, const char* key) {
  const Json& member = at(value, key);
  if (!member.is_string()) return std::nullopt;
  return member.get_ref<const std::string&>();
}

std::optional<std::int64_t> integer_of(const Json& value, const char* key) {
  const Json& member = at(value, key);
  if (!member.is_number_integer()) return std::nullopt;
  if (member.is_number_unsigned() &&
      member.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return std::nullopt;
  }
  return member.get<std::int64_t>();
}

std::optional<Seconds> time_of(const Json& value, const char* key) {
  const std::optional<std::int64_t> seconds = integer_of(value, key);
  if (!seconds || *seconds < 0 || *seconds > kLastSecond) return std::nullopt;
  return seconds;
}

bool flag_of(const Json& value, const char* key) {
  const Json& member = at(value, key);
  return member.is_boolean() && member.get<bool>();
}

std::string id_of(const Json& value, const char* key) {
  const Json& member = at(value, key);
  if (member.is_string()) return member.get<std::string>();
  return text_of(member, "id").value_or("");
}

const Json& list_of(const Json& value, const char* key) {
  static const Json empty = Json::array();
  const Json& member = at(value, key);
  if (member.is_array()) return member;
  const Json& data = at(member, "data");
  return data.is_array() ? data : empty;
}

}  // namespace billing
