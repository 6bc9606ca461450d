#include "worker/simulation/api/parameters.hpp"

#include <algorithm>
#include <charconv>

#include "worker/simulation/api/call.hpp"
#include "worker/text.hpp"

namespace billing::simulation {
namespace {

constexpr std::size_t kDeepest = 16;

bool read(const std::string& text, std::int64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// a[b][0][] is a, b, 0 and nothing.
std::vector<std::string> steps_of(const std::string& name) {
  const std::size_t bracket = std::min(name.find('['), name.size());
  std::vector<std::string> steps = {name.substr(0, bracket)};
  for (std::size_t i = bracket; i < name.size();) {
    const std::size_t close = name.find(']', i);
    if (name[i] != '[' || close == std::string::npos || steps.size() > kDeepest)
      throw invalid("Invalid hash: " + name, name, "parameter_invalid_string_empty");
    steps.push_back(name.substr(i + 1, close - i - 1));
    i = close + 1;
  }
  if (steps.front().empty()) throw invalid("Invalid request: a parameter without a name");
  return steps;
}

// Objects whose keys are 0, 1, 2... are arrays.
Json with_arrays(Json value) {
  if (!value.is_object()) return value;
  std::vector<std::pair<std::int64_t, Json>> elements;
  for (auto& [key, member] : value.items()) {
    member = with_arrays(std::move(member));
    std::int64_t number = 0;
    if (read(key, number) && number >= 0) elements.emplace_back(number, member);
  }
  if (value.empty() || elements.size() < value.size()) return value;
  std::sort(elements.begin(), elements.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  Json array = Json::array();
  for (auto& [number, element] : elements) array.push_back(std::move(element));
  return array;
}

}  // namespace

std::string percent_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    const char* digits = text.data() + i + 1;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2) {
      out += static_cast<char>(byte);
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

Json parse_form(std::string_view text) {
  Json values = Json::object();
  for (const std::string& pair : worker::split(text, '&')) {
    if (pair.empty()) continue;
    const std::size_t equals = std::min(pair.find('='), pair.size());
    const std::string name = percent_decode(std::string_view(pair).substr(0, equals));
    const std::string value =
        equals == pair.size() ? "" : percent_decode(std::string_view(pair).substr(equals + 1));
    if (!worker::valid_utf8(name) || !worker::valid_utf8(value))
      throw invalid("Invalid request: a parameter is not UTF-8");
    Json* place = &values;
    for (std::string& step : steps_of(name)) {
      if (place->is_null()) *place = Json::object();
      if (!place->is_object()) throw invalid("Invalid hash: " + name, name);
      if (step.empty() && place != &values) step = std::to_string(place->size());
      place = &(*place)[step];
    }
    if (place->is_object()) throw invalid("Invalid hash: " + name, name);
    *place = value;
  }
  for (auto& [name, value] : values.items()) value = with_arrays(std::move(value));
  return values;
}

Parameters::Parameters(const Json& values, std::string within)
    : values_(values), within_(std::move(within)) {}

std::string Parameters::name_of(std::string_view name) const {
  return within_.empty() ? std::string(name) : within_ + "[" + std::string(name) + "]";
}

const Parameters& Parameters::allow(std::initializer_list<std::string_view> names) const {
  for (const auto& [name, value] : values_.items()) {
    const std::string_view key = name;
    if (key == "expand" || std::find(names.begin(), names.end(), key) != names.end()) continue;
    throw invalid("Received unknown parameter: " + name_of(name), name_of(name), "parameter_unknown");
  }
  return *this;
}

std::string Parameters::text(const char* name, std::string fallback) const {
  const Json& value = at(values_, name);
  if (value.is_null()) return fallback;
  if (!value.is_string()) throw invalid("Invalid string: " + value.dump(), name_of(name));
  return value.get<std::string>();
}

std::string Parameters::required(const char* name) const {
  const std::string value = text(name);
  if (value.empty() && !has(name))
    throw invalid("Missing required param: " + name_of(name) + ".", name_of(name), "parameter_missing");
  if (value.empty())
    throw invalid("You passed an empty string for '" + name_of(name) +
                      "'. We assume empty values are an attempt to unset a parameter; however '" +
                      name_of(name) + "' cannot be unset.",
                  name_of(name), "parameter_invalid_empty");
  return value;
}

std::string Parameters::one_of(const char* name, std::initializer_list<std::string_view> values) const {
  const std::string value = text(name);
  if (value.empty() || std::find(values.begin(), values.end(), value) != values.end()) return value;
  std::string list;
  for (const std::string_view known : values) list.append(list.empty() ? "" : ", ").append(known);
  throw invalid("Invalid " + name_of(name) + ": must be one of " + list, name_of(name));
}

std::optional<std::int64_t> Parameters::integer(const char* name, std::int64_t least) const {
  const std::string value = text(name);
  if (value.empty()) return std::nullopt;
  std::int64_t number = 0;
  if (!read(value, number))
    throw invalid("Invalid integer: " + value, name_of(name), "parameter_invalid_integer");
  if (number < least)
    throw invalid("This value must be greater than or equal to " + std::to_string(least) + ".", name_of(name),
                  "parameter_invalid_integer");
  return number;
}

std::optional<bool> Parameters::flag(const char* name) const {
  const std::string value = text(name);
  if (value.empty()) return std::nullopt;
  if (value != "true" && value != "false") throw invalid("Invalid boolean: " + value, name_of(name));
  return value == "true";
}

std::vector<Parameters> Parameters::elements(const char* name) const {
  std::vector<Parameters> all;
  const Json& value = at(values_, name);
  if (value.is_null()) return all;
  if (!value.is_array()) throw invalid("Invalid array", name_of(name));
  for (std::size_t i = 0; i < value.size(); ++i) {
    const std::string place = name_of(name) + "[" + std::to_string(i) + "]";
    if (!value[i].is_object()) throw invalid("Invalid object", place);
    all.emplace_back(value[i], place);
  }
  return all;
}

std::vector<std::string> Parameters::texts(const char* name) const {
  std::vector<std::string> all;
  const Json& value = at(values_, name);
  if (value.is_null()) return all;
  if (!value.is_array()) throw invalid("Invalid array", name_of(name));
  for (const Json& element : value) {
    if (!element.is_string()) throw invalid("Invalid array", name_of(name));
    all.push_back(element.get<std::string>());
  }
  return all;
}

Parameters Parameters::object(const char* name) const {
  const Json& value = at(values_, name);
  if (value.is_null()) return Parameters(Json::object(), name_of(name));
  if (!value.is_object()) throw invalid("Invalid object", name_of(name));
  return Parameters(value, name_of(name));
}

void Parameters::merge_metadata(Json& object) const {
  const Json& given = at(values_, "metadata");
  Json& metadata = object["metadata"];
  if (!metadata.is_object()) metadata = Json::object();
  if (given.is_null()) return;
  if (given.is_string() && given.get<std::string>().empty()) {
    metadata = Json::object();
    return;
  }
  // Keys that are numbers make it an array, which it never is.
  if (!given.is_object() && !given.is_array()) throw invalid("Invalid object", name_of("metadata"));
  for (const auto& [key, value] : given.items()) {
    if (!value.is_string()) throw invalid("Invalid string", name_of("metadata") + "[" + key + "]");
    if (value.get<std::string>().empty())
      metadata.erase(key);
    else
      metadata[key] = value;
  }
}

void Parameters::copy(Json& object, std::initializer_list<const char*> names) const {
  for (const char* name : names) {
    if (!has(name)) continue;
    const Json& value = at(values_, name);
    object[name] = value.is_string() && value.get<std::string>().empty() ? Json(nullptr) : value;
  }
}

Json with_types(const Json& value) {
  if (value.is_object() || value.is_array()) {
    Json typed = value;
    for (auto& member : typed) member = with_types(member);
    return typed;
  }
  if (!value.is_string()) return value;
  const std::string text = value.get<std::string>();
  std::int64_t number = 0;
  if (text == "true" || text == "false") return text == "true";
  if (read(text, number)) return number;
  return value;
}

}  // namespace billing::simulation
