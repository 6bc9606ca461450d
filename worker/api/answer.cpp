// What the API answers.
#include "worker/api/answer.hpp"

namespace billing::worker::api {

Response answer_with(const Json& body, int status) {
  Response response;
  response.status = status;
  response.body = to_text(body) + "\n";
  return response;
}

Response answer_with(const Error& error) {
  Json told = error.more.is_object() ? error.more : Json::object();
  told["code"] = error.code;
  told["message"] = error.message;
  if (!error.hint.empty()) told["hint"] = error.hint;
  if (!error.param.empty()) told["param"] = error.param;
  if (!error.request_id.empty()) told["request_id"] = error.request_id;
  Response response = answer_with(Json{{"error", std::move(told)}}, error.status);
  if (error.retry_in > 0)
    response.fields.emplace_back("Retry-After", std::to_string(error.retry_in));
  else
    response.retry = error.status == 503;
  if (error.status == 401) response.fields.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

Response answer_with(const Refusal& refusal) {
  Error error;
  error.status = refusal.status;
  error.code = refusal.reason;
  error.message = refusal.message;
  error.hint = refusal.next_step;
  Response response = answer_with(error);
  response.allow = refusal.allow;
  return response;
}

Error error_of(const stripe::Answer& answer) {
  const stripe::ApiError told = answer.error.value_or(stripe::ApiError{});
  Error error;
  error.request_id = answer.request_id;
  if (told.type == "card_error") {
    error.status = 402;
    error.code = told.code.empty() ? "card_error" : told.code;
    error.message = told.message;
    if (!told.decline_code.empty()) error.more = Json{{"decline_code", told.decline_code}};
  } else if (answer.status == 0 || answer.status == 429) {
    error.status = 503;
    error.code = answer.status == 0 ? "stripe_unreachable" : "stripe_busy";
    error.message = answer.status == 0 ? "Stripe is not reached" : "Stripe has too much to do";
    error.hint = "try again in a moment: what was asked for is not done twice";
  } else if (answer.status == 400 || answer.status == 402 || answer.status == 404 || answer.status == 409) {
    error.status = 422;
    error.code = told.code.empty() ? "stripe_refused" : told.code;
    error.message = told.message;
    error.param = told.param;
  } else {
    // The key, its rights, the account, or Stripe itself: nothing that whoever asked could change.
    error.status = 502;
    error.code = "stripe_error";
    error.message = "Stripe did not do what it was asked for";
    error.hint = "the worker's log has Stripe's words, by this request_id";
  }
  return error;
}

Error invalid(std::string param, std::string message, std::string hint) {
  Error error;
  error.status = 422;
  error.code = "invalid_request";
  error.message = std::move(message);
  error.hint = std::move(hint);
  error.param = std::move(param);
  return error;
}

}  // namespace billing::worker::api
