// What the API answers: JSON, and one shape for every "no".
#pragma once

#include <stdexcept>
#include <string>

#include "core/json.hpp"
#include "worker/refusal.hpp"
#include "worker/response.hpp"
#include "worker/stripe/client.hpp"

namespace billing::worker::api {

// {"error": {"code", "message", "hint", "param", "request_id"}}; the first two are always there. Codes stay
// what they are; messages are for people.
struct Error {
  int status = 500;
  std::string code;
  std::string message;
  std::string hint;
  std::string param;       // what of the request it is about
  std::string request_id;  // Stripe's, for its support
  int retry_in = 0;        // seconds; 0: not said
  Json more;               // further members of "error", when it is an object
};

class Failure : public std::runtime_error {
 public:
  explicit Failure(Error error) : std::runtime_error(error.message), error_(std::move(error)) {}
  const Error& error() const { return error_; }

 private:
  Error error_;
};

Response answer_with(const Json& body, int status = 200);
Response answer_with(const Error& error);
// What is refused before it is known what was asked for.
Response answer_with(const Refusal& refusal);

// What Stripe's "no" is to whoever asked us: his card, his request, or our own trouble.
Error error_of(const stripe::Answer& answer);
// Misuse of a parameter: 422.
Error invalid(std::string param, std::string message, std::string hint = "");

}  // namespace billing::worker::api
