#include "core/event.hpp"
#include "core/json_scan.hpp"

namespace billing {
namespace {

std::string id_from(std::string_view text) { return text.size() > kMaxIdBytes ? "" : std::string(text); }
std::string text(const Json& value) {
  return value.is_string() ? id_from(value.get_ref<const std::string&>()) : "";
}
std::string text(const std::optional<ScannedJson>& value) {
  std::string_view found;
  return value && value->get(found) == simdjson::SUCCESS ? id_from(found) : "";
}

// Of a tree, or of what was scanned.
template <typename Value>
EventHeader header_of(const Value& root) {
  const bool thin = text(at(root, "object")) == kThinEvent;
  const auto& object = thin ? at(root, "related_object") : at(at(root, "data"), "object");
  const std::string type = text(at(object, thin ? "type" : "object"));
  std::string id = text(at(object, "id"));
  std::string customer;
  if (type == "customer") {
    customer = id;
  } else if (!thin) {
    const auto& payer = at(object, "customer");
    customer = text(payer);
    if (customer.empty()) customer = text(at(payer, "id"));
  }
  std::string object_id = mirror_key(type, std::move(id), customer);
  return {text(at(root, "id")), text(at(root, "type")), std::move(object_id), std::move(customer)};
}

}  // namespace

EventHeader peek_event(std::string_view payload) {
  try {
    const auto scanned = scan_json(payload);
    return scanned ? header_of(scanned) : header_of(parse_json(payload));
  } catch (const std::exception&) {
    return {};
  }
}

}  // namespace billing
