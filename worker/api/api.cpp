// The HTTP API for applications' front ends.
#include "worker/api/api.hpp"

#include <boost/asio/use_awaitable.hpp>

#include "worker/api/origin.hpp"
#include "worker/log.hpp"
#include "worker/text.hpp"

namespace billing::worker::api {

namespace asio = boost::asio;

namespace {

using Answerer = asio::awaitable<Response> (*)(Call&);

Answerer answerer_of(Action action) {
  switch (action) {
    case Action::authorize:
      return answer_authorize;
    case Action::cancel:
      return answer_cancel;
    case Action::change:
      return answer_change;
    case Action::checkout:
      return answer_checkout;
    case Action::config:
      return answer_config;
    case Action::credits:
      return answer_credits;
    case Action::invoices:
      return answer_invoices;
    case Action::payments:
      return answer_payments;
    case Action::portal:
      return answer_portal;
    case Action::prices:
      return answer_prices;
    case Action::resume:
      return answer_resume;
    default:
      return answer_subscription;
  }
}

stripe::ClientOptions client_options(const Config& config) {
  stripe::ClientOptions options;
  options.base = config.api_base;
  options.secret_key = config.secret_key;
  options.certificates = config.api_certificates;
  // Somebody waits for it in front of a page.
  options.whole_limit = std::chrono::seconds(20);
  options.limit = std::chrono::seconds(15);
  options.first_wait = std::chrono::milliseconds(200);
  return options;
}

std::int64_t unix_time() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string bearer_of(const std::string& authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (!equals_ignoring_case(std::string_view(authorization).substr(0, kScheme.size()), kScheme)) return "";
  return std::string(trim(std::string_view(authorization).substr(kScheme.size())));
}

Error unknown_user(const TokenProblem& problem) {
  Error error;
  error.status = 401;
  error.code = problem.kind == TokenProblem::Kind::expired ? "token_expired" : "invalid_token";
  error.message = problem.message;
  error.hint = "sign in again";
  return error;
}

Json body_of(const Request& request) {
  if (trim(request.body).empty()) return Json::object();
  const std::string type = request.content_type.substr(0, request.content_type.find(';'));
  if (!equals_ignoring_case(trim(type), "application/json"))
    throw Failure({415,
                   "unsupported_media_type",
                   "the body is not application/json",
                   "send JSON, and Content-Type: application/json",
                   "",
                   "",
                   0,
                   {}});
  constexpr const char* kWrong = "the body is not a JSON object";
  if (!valid_utf8(request.body)) throw Failure(invalid("", kWrong));
  try {
    Json body = parse_json(request.body);
    if (body.is_object()) return body;
  } catch (const JsonError&) {
    // Said below.
  }
  throw Failure(invalid("", kWrong));
}

}  // namespace

Api::Api(Runtime& runtime, const stripe::Client* client, Outbox& outbox)
    : runtime_(runtime), keys_(runtime.io), database_(runtime), outbox_(outbox) {
  if (client != nullptr)
    stripe_ = std::make_unique<stripe::Client>(runtime.io, client_options(*runtime.config), client->rate());
}

const Route* Api::find(const std::string& path) const {
  const Paths& paths = runtime_.config->api.paths;
  const auto found = paths.find(path);
  return found == paths.end() ? nullptr : found->second;
}

asio::awaitable<Response> Api::answer(Request request) {
  const auto began = Clock::now();
  Response response;
  std::string code;
  try {
    response = co_await run(request);
  } catch (const Failure& failure) {
    response = answer_with(failure.error());
    code = failure.error().code;
  } catch (const std::exception& error) {
    log::Line(log::Level::error, "api_failed").add("action", request.route->name).add("error", error.what());
    code = "internal_error";
    response = answer_with(
        Error{500, code, "this is a mistake in pg_billing", "the worker's log says more", "", "", 0, {}});
  }
  allow_origin(request, response);
  response.omit_body = request.method == "HEAD";
  if (response.status == 405)
    response.allow = request.route->method == "GET" ? "GET, HEAD, OPTIONS" : "POST, OPTIONS";
  note(request, response, code, Clock::now() - began);
  co_return response;
}

Response Api::refuse(const Refusal& refusal, const Request& request) {
  Response response = answer_with(refusal);
  allow_origin(request, response);
  note(request, response, refusal.reason, {});
  return response;
}

void Api::note(const Request& request, const Response& response, const std::string& code,
               Clock::duration took) {
  ++runtime_.metrics.api_requests[std::to_string(response.status)];
  log::Line(response.status < 500 ? log::Level::info : log::Level::warning, "api_request")
      .add("action", request.route->name)
      .add("method", request.method)
      .add("status", response.status)
      .add("code", code)
      .add("remote", request.remote)
      .add("latency_ms", took);
}

asio::awaitable<Response> Api::run(Request& request) {
  const Route& route = *request.route;
  const auto config = runtime_.config;
  // A proxy passes on what the browser sent to the application, whose own affair that is.
  const bool foreign = route.action != Action::authorize && !request.origin.empty() &&
                       !is_listed(request.origin, config->api.origins);
  if (foreign)
    throw Failure({403,
                   "origin_not_allowed",
                   "pages of this origin may not ask here",
                   "add it to PG_BILLING_ORIGINS",
                   "",
                   "",
                   0,
                   {}});
  if (request.method == "OPTIONS") co_return preflight(request);
  if (request.method != route.method && !(request.method == "HEAD" && route.method == "GET"))
    throw Failure({405,
                   "method_not_allowed",
                   std::string(route.name) + " takes " + std::string(route.method) + " only",
                   "use " + std::string(route.method),
                   "",
                   "",
                   0,
                   {}});
  Call call{request, {}, config, database_, outbox_, stripe_.get()};
  if (!route.open) {
    call.user = co_await identify(request);
    limit(call);
  }
  if (route.method == "POST") call.body = body_of(request);
  Response response = co_await answerer_of(route.action)(call);
  co_return response;
}

asio::awaitable<Identity> Api::identify(const Request& request) {
  const std::string token = bearer_of(request.authorization);
  if (token.empty())
    throw Failure({401,
                   "missing_token",
                   "nobody is signed in",
                   "send Authorization: Bearer and the user's token",
                   "",
                   "",
                   0,
                   {}});
  const auto config = runtime_.config;
  const Settings& settings = config->api;
  KeySet keys = co_await keys_.current(settings);
  auto read = read_token(token, keys, settings.tokens, unix_time());
  const auto* problem = std::get_if<TokenProblem>(&read);
  const bool unknown_key = problem != nullptr && (problem->kind == TokenProblem::Kind::unknown_key ||
                                                  problem->kind == TokenProblem::Kind::unsupported);
  if (unknown_key && settings.key_set_is_url) {
    keys = co_await keys_.renewed(settings);
    read = read_token(token, keys, settings.tokens, unix_time());
  }
  if (const auto* still = std::get_if<TokenProblem>(&read)) throw Failure(unknown_user(*still));
  co_return std::get<Identity>(std::move(read));
}

void Api::limit(const Call& call) {
  const int wait = calls_.take(call.user.user_id, Clock::now());
  if (wait > 0) too_many(Json{{"retry_in", wait}});
}

Response Api::preflight(const Request& request) const {
  Response response;
  response.status = 204;
  if (request.requested_method.empty()) {
    response.allow = request.route->method == "GET" ? "GET, HEAD, OPTIONS" : "POST, OPTIONS";
    return response;
  }
  response.fields.emplace_back("Access-Control-Allow-Methods", std::string(request.route->method));
  response.fields.emplace_back("Access-Control-Allow-Headers", "Authorization, Content-Type");
  response.fields.emplace_back("Access-Control-Max-Age", "600");
  return response;
}

void Api::allow_origin(const Request& request, Response& response) const {
  const auto& origins = runtime_.config->api.origins;
  response.fields.emplace_back("Vary", "Origin");
  if (request.origin.empty() || !is_listed(request.origin, origins)) return;
  response.fields.emplace_back("Access-Control-Allow-Origin", request.origin);
  response.fields.emplace_back("Access-Control-Expose-Headers", "Retry-After");
}

}  // namespace billing::worker::api
