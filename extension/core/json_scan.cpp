#include "core/json_scan.hpp"

#include <memory>

#include "core/json.hpp"

namespace billing {
namespace {

constexpr std::size_t kFirstCapacity = 16 * 1024;
// The parser has some ten times its capacity.
constexpr std::size_t kKeptCapacity = 256 * 1024;

std::unique_ptr<simdjson::dom::parser> new_parser() {
  auto parser = std::make_unique<simdjson::dom::parser>();
  if (parser->allocate(kFirstCapacity, kMaxJsonDepth) != simdjson::SUCCESS) throw std::bad_alloc();
  return parser;
}

}  // namespace

std::optional<ScannedJson> scan_json(std::string_view text) {
  // Nothing may have no address either, which simdjson would copy from.
  if (text.empty()) return std::nullopt;
  static thread_local std::unique_ptr<simdjson::dom::parser> parser;
  if (parser == nullptr || parser->capacity() > kKeptCapacity) parser = new_parser();
  std::string buffer;
  // Only escapes make what jsonb refuses.
  if (text.find("\\u") != std::string_view::npos) text = storable_json(text, buffer);
  ScannedJson root;
  if (parser->parse(text.data(), text.size()).get(root) != simdjson::SUCCESS) return std::nullopt;
  return root;
}

std::optional<ScannedJson> at(const std::optional<ScannedJson>& value, std::string_view key) {
  simdjson::dom::object object;
  if (!value || value->get(object) != simdjson::SUCCESS) return std::nullopt;
  std::optional<ScannedJson> found;
  for (const auto [name, member] : object)
    if (name == key) found = member;
  return found;
}

}  // namespace billing
