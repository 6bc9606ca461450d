// A request on its way through the API: what was asked, by whom, and what is at hand to answer it.
#pragma once

#include <memory>
#include <string>

#include "worker/api/answer.hpp"
#include "worker/api/database.hpp"
#include "worker/api/settings.hpp"
#include "worker/operator/form.hpp"
#include "worker/outbox.hpp"
#include "worker/response.hpp"
#include "worker/stripe/client.hpp"

namespace billing::worker::api {

struct Request {
  const Route* route = nullptr;
  std::string method;
  operators::Form query;
  std::string body;
  std::string content_type;
  std::string origin;
  std::string authorization;
  std::string requested_method;  // Access-Control-Request-Method: a browser asks whether it may
  std::string remote;
};

struct Call {
  const Request& request;
  Identity user;                         // of the token; empty where everybody may ask
  std::shared_ptr<const Config> config;  // as it was when the request began
  Database& database;
  Outbox& outbox;
  stripe::Client* stripe = nullptr;  // none without a secret key
  Json body = Json::object();

  // Throws Failure when there is no key.
  stripe::Client& client() const;
  // A text of the body, by any of its names; "" when absent. Throws Failure for another type.
  std::string text(std::initializer_list<const char*> names) const;
  // Where a customer is sent to: what the body says, or else the setting. Throws Failure for anywhere else.
  std::string landing(const char* name, const std::string& fallback) const;
};

// The answers, one file a subject. They throw Failure.
boost::asio::awaitable<Response> answer_authorize(Call& call);
boost::asio::awaitable<Response> answer_cancel(Call& call);
boost::asio::awaitable<Response> answer_change(Call& call);
boost::asio::awaitable<Response> answer_checkout(Call& call);
boost::asio::awaitable<Response> answer_config(Call& call);
boost::asio::awaitable<Response> answer_credits(Call& call);
boost::asio::awaitable<Response> answer_invoices(Call& call);
boost::asio::awaitable<Response> answer_payments(Call& call);
boost::asio::awaitable<Response> answer_portal(Call& call);
boost::asio::awaitable<Response> answer_prices(Call& call);
boost::asio::awaitable<Response> answer_resume(Call& call);
boost::asio::awaitable<Response> answer_subscription(Call& call);

// Writes besides checkouts, of each kind, that a user may do in a minute.
inline constexpr const char* kMostWrites = "30";
// Throws Failure for what begin_… functions refuse with "retry_in".
[[noreturn]] void too_many(const Json& refusal);

// What Stripe's "no" is, in the log too. Throws Failure.
[[noreturn]] void stripe_refused(const Call& call, const stripe::Answer& answer);

// Has a request of the outbox performed, and returns its row: an empty object when that takes too long.
// Throws Failure for what Stripe refuses.
boost::asio::awaitable<Json> perform(Call& call, std::string request_id);

// The member quantity, or null. Throws Failure.
Json quantity_in(const Call& call);

// The user's customer at Stripe, of whom get_or_create_stripe_customer() has said what is `known`; waits
// until he is made. Throws Failure.
boost::asio::awaitable<std::string> customer_of(Call& call, Json known);

// Fetches a checkout session and what it has led to, and applies it. Throws Failure when it is not this
// user's, or there is none. Returns the session.
boost::asio::awaitable<Json> apply_session(Call& call, std::string session_id);

}  // namespace billing::worker::api
