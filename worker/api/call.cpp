// A request on its way through the API.
#include "worker/api/call.hpp"

#include "worker/api/origin.hpp"
#include "worker/log.hpp"

namespace billing::worker::api {

namespace {

constexpr std::size_t kLongestText = 255;

}  // namespace

stripe::Client& Call::client() const {
  if (stripe == nullptr)
    throw Failure({503,
                   "stripe_not_configured",
                   "nothing can be asked of Stripe here",
                   "set STRIPE_SECRET_KEY for the worker",
                   "",
                   "",
                   0,
                   {}});
  return *stripe;
}

std::string Call::text(std::initializer_list<const char*> names) const {
  for (const char* name : names) {
    const Json& value = at(body, name);
    if (value.is_null()) continue;
    if (!value.is_string()) throw Failure(invalid(name, std::string(name) + " must be text"));
    const std::string& text = value.get_ref<const std::string&>();
    if (text.empty() || text.size() > kLongestText)
      throw Failure(invalid(name, std::string(name) + " must have 1 to 255 bytes"));
    return text;
  }
  return "";
}

std::string Call::landing(const char* name, const std::string& fallback) const {
  const auto& origins = config->api.origins;
  if (origins.empty())
    throw Failure({503,
                   "origins_not_configured",
                   "nobody can be sent back from Stripe",
                   "set PG_BILLING_ORIGINS for the worker",
                   "",
                   "",
                   0,
                   {}});
  const Json& given = at(body, name);
  if (!given.is_null() && !given.is_string())
    throw Failure(invalid(name, std::string(name) + " must be text"));
  const std::string wanted = given.is_string() ? given.get<std::string>() : fallback;
  // The page that asks is where a path leads to.
  const std::string& home = is_listed(request.origin, origins) ? request.origin : origins.front();
  const auto url = landing_url(wanted, origins, home);
  if (!url) {
    Error error = invalid(name, std::string(name) + " does not lead to a page of ours",
                          "it must begin with one of PG_BILLING_ORIGINS, or be a path");
    error.code = "url_not_allowed";
    throw Failure(error);
  }
  return *url;
}

Json quantity_in(const Call& call) {
  const Json& quantity = at(call.body, "quantity");
  if (!quantity.is_null() && (!quantity.is_number_integer() || quantity < 1 || quantity > 1000000))
    throw Failure(invalid("quantity", "quantity must be a whole number from 1 to 1000000"));
  return quantity;
}

void too_many(const Json& refusal) {
  Error error;
  error.status = 429;
  error.code = "too_many_requests";
  error.retry_in = static_cast<int>(integer_of(refusal, "retry_in").value_or(1));
  error.message = "too many requests";
  error.hint = "try again in " + std::to_string(error.retry_in) + " seconds";
  throw Failure(error);
}

void stripe_refused(const Call& call, const stripe::Answer& answer) {
  const Error error = error_of(answer);
  log::Line(error.status < 500 ? log::Level::info : log::Level::warning, "stripe_request_refused")
      .add("action", call.request.route->name)
      .add("status", answer.status)
      .add("type", answer.error->type)
      .add("code", answer.error->code)
      .add("error", answer.error->message)
      .add("request_id", answer.request_id);
  throw Failure(error);
}

}  // namespace billing::worker::api
