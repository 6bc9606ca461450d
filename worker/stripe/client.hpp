// Stripe's API: one call is as many requests as it takes.
// https://docs.stripe.com/api
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "core/instant.hpp"
#include "core/json.hpp"
#include "worker/stripe/rate_limit.hpp"
#include "worker/stripe/transfer.hpp"

namespace billing::stripe {

// The version whose shapes the rules have been tried with: whatever the account's default is, answers look
// like this. https://docs.stripe.com/api/versioning
inline constexpr const char* kApiVersion = "2025-10-29.clover";

struct ClientOptions {
  std::string base = "https://api.stripe.com";
  std::string secret_key;
  std::string certificates;  // PEM file; "" = the system's
  double requests_per_second = 20;
  std::chrono::milliseconds whole_limit{90000};  // of a call, with everything that is sent again
  std::chrono::milliseconds limit{30000};        // of one request
  std::chrono::milliseconds first_wait{500};     // before the second attempt
};

struct Call {
  std::string method = "GET";
  std::string path;  // /v1/customers/cus_1
  Json parameters = Json::object();
  // Of a write: the same text makes whatever is sent again one effect. "" makes one up for this call.
  std::string idempotency_key;
  std::string account;  // a connected account; "" = the key's own
};

// As Stripe tells it. https://docs.stripe.com/api/errors
struct ApiError {
  std::string type;  // invalid_request_error, card_error, ...; ours: connection_error, unreadable_answer
  std::string code;  // resource_missing, ...
  std::string decline_code;
  std::string param;
  std::string message;
};

struct Answer {
  int status = 0;  // 0: none came
  Json body;
  std::optional<ApiError> error;
  std::string request_id;  // req_..., for Stripe's support
  int attempts = 0;
  // Stripe may have done what was asked for without saying so: an attempt had no answer, or a 5xx or 409.
  bool in_doubt = false;
  // By Stripe's clock, in whole seconds, and not too late: what is in the answer was read after this.
  std::optional<Seconds> read_after;

  bool ok() const { return !error; }
};

class Client {
 public:
  // `rate`: that of another client with the same key; none: one of its own.
  Client(boost::asio::io_context& io, ClientOptions options, std::shared_ptr<RateLimit> rate = nullptr);
  const std::shared_ptr<RateLimit>& rate() const { return rate_; }

  boost::asio::awaitable<Answer> call(Call call);

  // Every object of a list, page after page, in Stripe's order; `take` returns false to stop. The answer is
  // that of the last page.
  boost::asio::awaitable<Answer> list(Call call, std::function<boost::asio::awaitable<bool>(Json)> take);

 private:
  HttpRequest request_of(const Call& call) const;
  boost::asio::awaitable<void> pause(std::chrono::steady_clock::duration time);

  boost::asio::io_context& io_;
  ClientOptions options_;
  Transfers transfers_;
  std::shared_ptr<RateLimit> rate_;
  std::minstd_rand random_{std::random_device{}()};
};

// A key for one write: 128 random bits.
std::string make_idempotency_key();

}  // namespace billing::stripe
