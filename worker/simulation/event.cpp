#include "worker/simulation/event.hpp"

namespace billing::simulation {
namespace {

constexpr std::string_view kBeforeId = R"({"id":")";

}  // namespace

std::string event_payload(const std::string& id, std::string_view type, const Json& object,
                          const Json& previous, Seconds created, const Shape& shape, const Cause& cause) {
  const auto quoted = [](const std::string& text) { return text.empty() ? "null" : Json(text).dump(); };
  const std::string body = object.dump();
  const std::string before = previous.is_null() ? "" : previous.dump();
  std::string text;
  text.reserve(body.size() + before.size() + 320);
  // By hand, with the id in front as Stripe has it, where told_again() finds it.
  text.append(kBeforeId).append(id).append(R"(","object":"event","api_version":")");
  text.append(shape.version.name).append(R"(","created":)").append(std::to_string(created));
  text.append(R"(,"data":{"object":)").append(body);
  if (!before.empty()) text.append(R"(,"previous_attributes":)").append(before);
  text.append(R"(},"livemode":)").append(shape.livemode ? "true" : "false");
  text.append(R"(,"pending_webhooks":1,"request":{"id":)").append(quoted(cause.request));
  text.append(R"(,"idempotency_key":)").append(quoted(cause.idempotency_key));
  text.append(R"(},"type":")").append(type).append(R"("})");
  return text;
}

Emitted make_event(Random& random, std::string_view type, const Json& object, const Json& previous,
                   Seconds created, const Shape& shape) {
  Emitted event;
  event.created = created;
  event.id = random.id("evt_");
  event.type = type;
  const bool requested = random.chance(0.4);
  const Cause cause{requested ? random.id("req_") : "", ""};
  event.payload = event_payload(event.id, type, object, previous, created, shape, cause);
  return event;
}

Emitted told_again(Random& random, const Emitted& event) {
  Emitted again = event;
  again.id = random.id("evt_");
  again.payload.replace(kBeforeId.size(), event.id.size(), again.id);
  return again;
}

Emitted unknown_event(Random& random, Seconds created, const Shape& shape) {
  const auto kind = random.below(4);
  const std::string id = random.id("x");
  Json object = {{"object", "unheard_of"}, {"livemode", shape.livemode}, {"amounts", {1, 2, 3}}};
  if (kind == 0) return make_event(random, "balance.available", object, nullptr, created, shape);
  object["id"] = id;
  if (kind == 1) return make_event(random, "unheard_of.updated", object, Json::object(), created, shape);
  object["text"] = "gr\u00fc\u00df \"dich\" \\ \u0001";
  if (kind == 2) return make_event(random, "customer.unheard_of.created", object, nullptr, created, shape);
  object["customer"] = random.id("cus_");
  return make_event(random, "unheard_of.deleted", object, nullptr, created, shape);
}

Emitted other_mode_event(Random& random, const std::string& user_id, Json subscription, Seconds created,
                         const Shape& shape) {
  const Shape other{shape.version, !shape.livemode};
  subscription["id"] = random.id("sub_");
  subscription["customer"] = random.id("cus_");
  subscription["livemode"] = other.livemode;
  subscription["metadata"] = {{"user_id", user_id}};
  subscription["status"] = "active";
  return make_event(random, "customer.subscription.updated", subscription, Json::object(), created, other);
}

}  // namespace billing::simulation
