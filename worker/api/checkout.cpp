// POST checkout: one open at a time for each user, and never a second subscription.
#include "worker/api/call.hpp"
#include "worker/config.hpp"
#include "worker/log.hpp"
#include "worker/stripe/form.hpp"
#include "worker/text.hpp"

namespace billing::worker::api {

namespace asio = boost::asio;

namespace {

// Longer ones are told by the metadata alone: Stripe takes no more.
constexpr std::size_t kLongestReference = 200;

// As the database takes them; another one is none.
std::string address_of(const Identity& user) {
  const std::size_t at = user.email.find('@');
  const bool one = at != std::string::npos && at > 0 && at + 1 < user.email.size() &&
                   user.email.find('@', at + 1) == std::string::npos &&
                   user.email.find_first_of(" \t\r\n\v\f") == std::string::npos;
  return one ? user.email : "";
}

Json wanted_of(const Call& call) {
  Json wanted = {{"most", call.config->api_checkouts}};
  const auto put = [&](const char* name, std::string text) {
    if (!text.empty()) wanted[name] = std::move(text);
  };
  put("price", call.text({"price", "price_id"}));
  put("plan", call.text({"plan", "plan_name"}));
  put("cycle", call.text({"cycle", "billing_cycle"}));
  put("mode", call.text({"mode"}));
  put("locale", call.text({"locale"}));
  put("email", address_of(call.user));
  if (wanted.contains("price") == wanted.contains("plan"))
    throw Failure(invalid("price", "either a price or a plan must be given, not both",
                          "pass {\"plan\": \"pro\", \"cycle\": \"monthly\"}, or {\"price\": \"price_...\"}"));
  if (const std::string mode = wanted.value("mode", "payment"); mode != "subscription" && mode != "payment")
    throw Failure(invalid("mode", "mode must be subscription or payment"));
  for (const char* name : {"trial", "allow_promotion_codes"}) {
    const Json& value = at(call.body, name);
    if (value.is_null()) continue;
    if (!value.is_boolean()) throw Failure(invalid(name, std::string(name) + " must be true or false"));
    wanted[name] = value;
  }
  if (const Json quantity = quantity_in(call); !quantity.is_null()) wanted["quantity"] = quantity;
  wanted["success_url"] = call.landing("success_url", call.config->success_url);
  wanted["cancel_url"] = call.landing("cancel_url", call.config->cancel_url);
  return wanted;
}

[[noreturn]] void refuse(const Json& begun) {
  if (begun.contains("retry_in")) too_many(begun);
  const std::string reason = text_of(begun, "reason").value_or("");
  Error error;
  error.code = reason;
  error.message = text_of(begun, "message").value_or("");
  error.param = text_of(begun, "param").value_or("");
  error.status = 422;
  if (reason == "payments_off") {
    error.status = 503;
    error.message = "nothing can be bought at the moment";
    error.hint = "try again later";
  } else if (reason == "already_subscribed") {
    error.status = 409;
    error.message = "there is a subscription already";
    error.hint = "change it, or wait until it is over";
    error.more = Json{{"state", at(begun, "state")}, {"next_step", at(begun, "next_step")}};
  } else if (reason == "subscription_awaited") {
    error.status = 409;
    error.message = "a subscription has just been bought";
    error.hint = "ask for the subscription in a moment";
  } else if (reason == "trial_not_available") {
    error.status = 409;
    error.message = "there is no trial for this user and plan";
    error.hint = "leave trial out";
    error.more = Json{{"reason", at(begun, "why")}};
  }
  throw Failure(error);
}

stripe::Call session_call(const Call& call, const Json& begun, const std::string& customer) {
  const bool subscription = at(begun, "mode") == "subscription";
  Json metadata = at(begun, "metadata").is_object() ? at(begun, "metadata") : Json::object();
  metadata["user_id"] = call.user.user_id;
  // Says what a pack of credits is; Stripe sends no items with a session.
  if (!subscription) {
    metadata["price_id"] = at(begun, "price");
    metadata["quantity"] = at(begun, "quantity");
  }
  if (begun.contains("plan")) metadata["plan"] = at(begun, "plan");
  Json inside = {{"metadata", metadata}};
  if (const auto days = integer_of(begun, "trial_days"); days.value_or(0) > 0)
    inside["trial_period_days"] = *days;
  stripe::Call wanted;
  wanted.method = "POST";
  wanted.path = "/v1/checkout/sessions";
  wanted.idempotency_key = text_of(begun, "idempotency_key").value_or("");
  wanted.parameters = {{"mode", at(begun, "mode")},
                       {"customer", customer},
                       {"line_items", {{{"price", at(begun, "price")}, {"quantity", at(begun, "quantity")}}}},
                       {"success_url", at(begun, "success_url")},
                       {"cancel_url", at(begun, "cancel_url")},
                       {"metadata", std::move(metadata)},
                       {subscription ? "subscription_data" : "payment_intent_data", std::move(inside)}};
  if (call.user.user_id.size() <= kLongestReference)
    wanted.parameters["client_reference_id"] = call.user.user_id;
  for (const char* name : {"allow_promotion_codes", "locale"})
    if (begun.contains(name)) wanted.parameters[name] = at(begun, name);
  return wanted;
}

// False when the session was completed meanwhile, which has been applied: everything is to be judged anew.
asio::awaitable<bool> expire(Call& call, std::string session_id, std::string key) {
  stripe::Call wanted;
  wanted.method = "POST";
  wanted.path = "/v1/checkout/sessions/" + percent_encode(session_id) + "/expire";
  wanted.idempotency_key = std::move(key);
  const stripe::Answer answer = co_await call.client().call(std::move(wanted));
  if (answer.ok() || answer.status == 404) co_return true;
  if (answer.status != 400) stripe_refused(call, answer);
  // It is not open any more: expired by itself, or paid.
  const Json session = co_await apply_session(call, session_id);
  co_return at(session, "status") != "complete";
}

asio::awaitable<Response> open_session(Call& call, const Json& begun) {
  const std::string key = text_of(begun, "idempotency_key").value_or("");
  const std::string customer = co_await customer_of(call, at(begun, "customer"));
  const stripe::Answer answer = co_await call.client().call(session_call(call, begun, customer));
  const std::string id = text_of(answer.body, "id").value_or("");
  const std::string url = text_of(answer.body, "url").value_or("");
  constexpr const char* kFinish =
      "SELECT {s}.finish_api_checkout($1, $2, nullif($3, ''), $4, "
      "pg_catalog.to_timestamp($5::pg_catalog.float8))";
  if (!answer.ok()) {
    // A definite no: the next try is a new request, not this one's answer again.
    if (answer.status >= 400 && answer.status < 500 && answer.status != 409 && answer.status != 429)
      co_await call.database.text(kFinish, call.user.user_id, key, "", "", "0");
    stripe_refused(call, answer);
  }
  const std::string ends = std::to_string(integer_of(answer.body, "expires_at").value_or(0));
  const std::string noted = co_await call.database.text(kFinish, call.user.user_id, key, id, url, ends);
  if (noted != "open") {
    co_await expire(call, id, key + "_superseded");
    throw Failure({409,
                   "checkout_superseded",
                   "another checkout has been begun meanwhile",
                   "use that one",
                   "",
                   "",
                   0,
                   {}});
  }
  log::Line(log::Level::info, "checkout_opened")
      .add("session_id", id)
      .add("mode", text_of(begun, "mode").value_or(""));
  co_return answer_with(Json{{"session_id", id},
                             {"url", url},
                             {"checkout_url", url},
                             {"mode", at(begun, "mode")},
                             {"trial_days", at(begun, "trial_days")},
                             {"reused", false},
                             {"expires_at", iso_time(integer_of(answer.body, "expires_at").value_or(0))}});
}

}  // namespace

asio::awaitable<Response> answer_checkout(Call& call) {
  call.client();
  const Json wanted = wanted_of(call);
  for (int attempt = 0; attempt < 3; ++attempt) {
    const Json begun = co_await call.database.json("SELECT {s}.begin_api_checkout($1, $2::pg_catalog.jsonb)",
                                                   call.user.user_id, to_text(wanted));
    if (at(begun, "status") == "refused") refuse(begun);
    if (at(begun, "status") == "open")
      co_return answer_with(Json{{"session_id", at(begun, "session_id")},
                                 {"url", at(begun, "url")},
                                 {"checkout_url", at(begun, "url")},
                                 {"mode", at(begun, "mode")},
                                 {"trial_days", at(begun, "trial_days")},
                                 {"reused", true},
                                 {"expires_at", at(begun, "expires_at")}});
    const std::string old = text_of(begun, "replaces").value_or("");
    if (!old.empty()) {
      const std::string key = text_of(begun, "idempotency_key").value_or("");
      const bool gone = co_await expire(call, old, key + "_expire");
      if (!gone && at(begun, "mode") == "subscription" && attempt < 2) continue;
    }
    Response response = co_await open_session(call, begun);
    co_return response;
  }
  throw Failure({409,
                 "checkout_superseded",
                 "another checkout has been completed meanwhile",
                 "ask for the subscription",
                 "",
                 "",
                 0,
                 {}});
}

}  // namespace billing::worker::api
