// GET subscription: the user's state; behind a checkout, after what its session has led to has been applied.
#include "core/fetch.hpp"
#include "worker/api/patience.hpp"
#include "worker/config.hpp"
#include "worker/log.hpp"
#include "worker/stripe/object_fetch.hpp"

namespace billing::worker::api {

namespace asio = boost::asio;

namespace {

constexpr const char* kState = "SELECT {s}.api_subscription($1)";

bool is_session_id(const std::string& id) {
  return id.starts_with("cs_") && id.size() <= 255 &&
         id.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") ==
             std::string::npos;
}

[[noreturn]] void no_such_session() {
  // Somebody else's is none, as far as this user is told.
  Error error = invalid("session_id", "there is no such checkout session",
                        "pass the one that {CHECKOUT_SESSION_ID} in success_url became");
  error.code = "unknown_session";
  throw Failure(error);
}

// Takes the numbers of fetches as they are needed.
class Fetches {
 public:
  Fetches(Call& call, const Json& begun) : call_(call), begun_(begun) {}

  // Nothing when Stripe has none of this id.
  asio::awaitable<Json> fetch(std::string type, std::string id) {
    stripe::FetchResult result = co_await stripe::fetch_object(call_.client(), "", type, id);
    if (!result.error.empty()) {
      log::Line(log::Level::warning, "api_fetch_failed")
          .add("object_type", type)
          .add("object_id", id)
          .add("error", result.error);
      if (result.error.starts_with("resource_missing")) co_return Json();
      throw Failure({503,
                     "stripe_unreachable",
                     "Stripe does not say what has become of the checkout",
                     "try again in a moment",
                     "",
                     "",
                     0,
                     {}});
    }
    result.fetch.id = at(begun_, "fetch_ids").at(payloads_.size()).get<std::string>();
    result.fetch.livemode = flag_of(begun_, "livemode");
    payloads_.push_back(fetch_payload(result.fetch));
    co_return std::move(result.fetch.object);
  }
  std::vector<std::string> take() { return std::move(payloads_); }

 private:
  Call& call_;
  const Json& begun_;
  std::vector<std::string> payloads_;
};

asio::awaitable<void> require_owner(Call& call, const Json& session) {
  const std::string ours = co_await call.database.text("SELECT {s}.is_session_of($1, $2::pg_catalog.jsonb)",
                                                       call.user.user_id, to_text(session));
  if (ours != "t") no_such_session();
}

}  // namespace

asio::awaitable<Json> apply_session(Call& call, std::string session_id) {
  if (!is_session_id(session_id)) no_such_session();
  const Json begun =
      co_await call.database.json("SELECT {s}.begin_session_fetch($1, $2, $3::pg_catalog.int4)",
                                  call.user.user_id, session_id, kMostWrites);
  if (begun.contains("retry_in")) too_many(begun);
  constexpr const char* kApplied = "SELECT {s}.is_session_applied($1, $2::pg_catalog.jsonb)";
  if (begun.contains("session")) {
    Json known = at(begun, "session");
    co_await require_owner(call, known);
    co_await wait_until(call, kApplied, to_text(known));
    co_return known;
  }
  Fetches fetches(call, begun);
  Json session = co_await fetches.fetch("checkout.session", session_id);
  if (!session.is_object()) no_such_session();
  co_await require_owner(call, session);
  // What webhooks would tell in a moment: without these the page would say that nothing was bought.
  const std::string subscription = id_of(session, "subscription");
  const std::string payment = id_of(session, "payment_intent");
  if (!subscription.empty()) {
    const Json bought = co_await fetches.fetch("subscription", subscription);
    const std::string invoice = id_of(bought, "latest_invoice");
    if (!invoice.empty()) co_await fetches.fetch("invoice", invoice);
  } else if (!payment.empty()) {
    const Json paid = co_await fetches.fetch("payment_intent", payment);
    const std::string charge = id_of(paid, "latest_charge");
    if (!charge.empty()) co_await fetches.fetch("charge", charge);
  }
  co_await call.database.process(fetches.take());
  co_await wait_until(call, kApplied, to_text(session));
  co_return session;
}

asio::awaitable<Response> answer_subscription(Call& call) {
  const std::string session_id = call.request.query.get("session_id");
  Response response;
  if (session_id.empty()) {
    response.body = co_await call.database.text(kState, call.user.user_id) + "\n";
    co_return response;
  }
  const Json session = co_await apply_session(call, session_id);
  Json state = co_await call.database.json(kState, call.user.user_id);
  state["checkout_session"] = {{"id", at(session, "id")},
                               {"mode", at(session, "mode")},
                               {"status", at(session, "status")},
                               {"payment_status", at(session, "payment_status")}};
  co_return answer_with(state);
}

}  // namespace billing::worker::api
