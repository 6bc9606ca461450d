#include "core/event.hpp"

#include "core/digest.hpp"
#include "core/fields.hpp"
#include "core/payer.hpp"

namespace billing {
namespace {

std::string limited(std::string text, const char* what) {
  if (text.size() > kMaxIdBytes) {
    throw EventError(std::string(what) + " is " + std::to_string(text.size()) + " bytes long, at most " +
                     std::to_string(kMaxIdBytes) + " are allowed");
  }
  return text;
}

std::string required(const Json& event, const char* key) {
  const Json& member = at(event, key);
  if (member.is_null()) throw EventError(std::string("event has no \"") + key + "\"");
  if (!member.is_string()) {
    throw EventError(std::string("event \"") + key + "\" is " + member.type_name() + " instead of text");
  }
  if (member.get_ref<const std::string&>().empty()) {
    throw EventError(std::string("event \"") + key + "\" is empty");
  }
  return limited(member.get<std::string>(), key);
}

Seconds created_of(const Json& event, bool thin) {
  const Json& member = at(event, "created");
  if (member.is_null()) throw EventError("event has no \"created\"");
  std::optional<Seconds> created = time_of(event, "created");
  if (thin && member.is_string()) created = parse_iso_time(member.get_ref<const std::string&>());
  if (!created || *created < 0 || *created > kLastSecond) {
    throw EventError("event \"created\" is not a time: " + excerpt(member));
  }
  return *created;
}

// Stripe's own events have no such member.
std::optional<ImportTerms> import_terms(const Json& terms) {
  if (!terms.is_object()) return std::nullopt;
  return ImportTerms{time_of(terms, "began").value_or(0), text_of(terms, "grants") == "current-period"};
}

}  // namespace

std::string mirror_key(std::string_view object_type, std::string id, std::string_view customer_id) {
  return object_type == "entitlements.active_entitlement_summary" ? std::string(customer_id) : std::move(id);
}

Event parse_event(std::string_view payload) {
  Json root;
  try {
    root = parse_json(payload);
  } catch (const JsonError& error) {
    throw EventError(error.what());
  }
  if (!root.is_object()) {
    throw EventError(std::string("event is ") + root.type_name() + " instead of an object");
  }

  Event event;
  event.thin = text_of(root, "object") == kThinEvent;
  event.id = required(root, "id");
  event.type = required(root, "type");
  event.created = created_of(root, event.thin);
  event.api_version = text_of(root, "api_version").value_or("");
  event.livemode = flag_of(root, "livemode");
  event.account = limited(text_of(root, event.thin ? "context" : "account").value_or(""), "account");

  if (event.id.starts_with(kFetchPrefix)) event.import = import_terms(at(root, "import"));

  std::string id;
  if (event.thin) {
    const Json& related = at(root, "related_object");
    event.object_type = limited(text_of(related, "type").value_or(""), "type of the related object");
    id = text_of(related, "id").value_or("");
    if (event.object_type == "customer") event.customer_id = id;
  } else {
    const auto data = root.find("data");
    if (data != root.end() && at(*data, "object").is_object()) event.object = std::move((*data)["object"]);
    if (data != root.end() && at(*data, "previous_attributes").is_object()) {
      event.previous_attributes = std::move((*data)["previous_attributes"]);
    }
    event.object_type = limited(text_of(event.object, "object").value_or(""), "type of the object");
    id = text_of(event.object, "id").value_or("");
    event.customer_id = payer_of(event.object_type, event.object);
    // Detached from a customer it is of that customer still: nobody else can have it.
    if (event.customer_id.empty() && event.object_type == "payment_method")
      event.customer_id = id_of(event.previous_attributes, "customer");
  }
  limited(fields::parent_id(event.object_type, event.object), "id of what the object belongs to");
  event.customer_id = limited(std::move(event.customer_id), "id of the customer");
  event.object_id =
      limited(mirror_key(event.object_type, std::move(id), event.customer_id), "id of the object");
  return event;
}

std::string derived_event_id(std::string_view payload) { return "unidentified_" + sha256_hex(payload); }

bool is_deletion(std::string_view event_type) { return event_type.ends_with(".deleted"); }

bool begins_trial(const Event& event) {
  if (!at(event.object, "trial_start").is_number()) return false;
  if (event.type == "customer.subscription.created") return true;
  return event.type == "customer.subscription.updated" && event.previous_attributes.contains("trial_start") &&
         !at(event.previous_attributes, "trial_start").is_number();
}

}  // namespace billing
