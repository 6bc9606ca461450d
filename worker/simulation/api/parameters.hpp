// Parameters as clients send them: form-encoded, nested by brackets, everything text; and how they are read.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "core/instant.hpp"
#include "core/json.hpp"

namespace billing::simulation {

std::string percent_decode(std::string_view text);

// items[0][price]=a&items[0][quantity]=2&expand[]=b&metadata[c d]=e becomes {"items": [{"price": "a",
// "quantity": "2"}], "expand": ["b"], "metadata": {"c d": "e"}}. Throws CallError for what has no such form.
Json parse_form(std::string_view text);

// What the reading functions find wrong is a CallError that names the parameter; `within` is what stands
// before it: "items[0]".
class Parameters {
 public:
  explicit Parameters(const Json& values, std::string within = "");

  // Refuses whatever else there is. "expand" always may be.
  const Parameters& allow(std::initializer_list<std::string_view> names) const;

  bool has(const char* name) const { return values_.contains(name); }
  std::string text(const char* name, std::string fallback = "") const;
  std::string required(const char* name) const;
  // Refuses any other text than these; "" when absent.
  std::string one_of(const char* name, std::initializer_list<std::string_view> values) const;
  std::optional<std::int64_t> integer(const char* name, std::int64_t least = 0) const;
  std::optional<bool> flag(const char* name) const;
  // The objects of an array, each with its name: line_items[0], line_items[1]...
  std::vector<Parameters> elements(const char* name) const;
  std::vector<std::string> texts(const char* name) const;
  Parameters object(const char* name) const;
  // Puts metadata over what is there; an empty value takes its key away, an empty text takes all.
  void merge_metadata(Json& object) const;
  // Copies texts, an empty one as null.
  void copy(Json& object, std::initializer_list<const char*> names) const;

  const Json& values() const { return values_; }
  std::string name_of(std::string_view name) const;

 private:
  Json values_;
  std::string within_;
};

// "true", "false" and whole numbers within a parameter as what they mean: for objects that are kept as given.
Json with_types(const Json& value);

}  // namespace billing::simulation
