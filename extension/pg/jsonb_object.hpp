// Small jsonb objects made from plain values, without text or a tree of documents between. To be called under
// guard().
#pragma once

#include <optional>
#include <string_view>

#include "pg/document.hpp"

namespace billing::pg {

struct Member {
  enum class Kind { null, flag, number, text, texts, objects, document };
  const char* name;
  Kind kind = Kind::null;
  std::int64_t number = 0;      // also a flag, and how many texts or objects
  std::string_view text;        // also the members' own memory: it outlives the call
  const void* value = nullptr;  // the texts, the members of the objects, or the document
  int width = 0;                // how many members each object has

  static Member of(const char* name, bool value) { return {name, Kind::flag, value ? 1 : 0, {}}; }
  static Member of(const char* name, std::int64_t value) { return {name, Kind::number, value, {}}; }
  static Member of(const char* name, const std::optional<std::int64_t>& value) {
    return {name, value ? Kind::number : Kind::null, value.value_or(0), {}};
  }
  static Member of(const char* name, std::string_view value) { return {name, Kind::text, 0, value}; }
  static Member unless_empty(const char* name, std::string_view value) {
    return {name, value.empty() ? Kind::null : Kind::text, 0, value};
  }
  static Member of(const char* name, const std::vector<std::string>& values) {
    return {name, Kind::texts, static_cast<std::int64_t>(values.size()), {}, values.data()};
  }
  // An array of objects, whose members follow each other: `width` of each.
  static Member objects(const char* name, const Member* members, int width, std::size_t count) {
    return {name, Kind::objects, static_cast<std::int64_t>(count), {}, members, width};
  }
  static Member document(const char* name, const Document& value) {
    return {name, Kind::document, 0, {}, &value};
  }
};

// The same jsonb as jsonb_in makes of the object's text. No name twice.
Jsonb* object_jsonb(const Member* members, int count);

}  // namespace billing::pg
