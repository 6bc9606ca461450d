// GET authorize: for proxies that ask before they let a request through.
#include "worker/api/call.hpp"

namespace billing::worker::api {

namespace asio = boost::asio;

asio::awaitable<Response> answer_authorize(Call& call) {
  const std::string feature = call.request.query.get("feature");
  const Json told =
      co_await call.database.json("SELECT {s}.api_authorize($1, nullif($2, ''))", call.user.user_id, feature);
  Response response;
  response.status = 204;
  if (flag_of(told, "allowed")) co_return response;
  Error error;
  // nginx takes 401 and 403 for an answer, and anything else for a mistake.
  error.status = call.request.query.get("deny") == "403" ? 403 : 402;
  error.code = "payment_required";
  error.message = feature.empty() ? "there is no active subscription" : "the feature is not to be had";
  error.more = Json{{"reason", at(told, "reason")}, {"next_step", at(told, "next_step")}};
  throw Failure(error);
}

}  // namespace billing::worker::api
