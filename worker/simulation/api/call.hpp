// One call of the simulated account's API: what is asked, what is answered, and how it is refused.
#pragma once

#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/json.hpp"

namespace billing::simulation {

struct ApiAnswer {
  int status = 200;
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  const char* content_type = "application/json";
};

// What a client did, as far as the answer depends on it.
struct ApiRequest {
  std::string method;
  std::string target;  // the path with its query
  std::string authorization;
  std::string idempotency_key;
  std::string body;
  std::string id;  // req_...
};

struct Call {
  std::string method;
  std::string path;              // /v1/customers/cus_1
  std::vector<std::string> ids;  // what stands for the stars of its route
  Json parameters = Json::object();
  std::string request_id;
  std::string idempotency_key;

  const std::string& id() const { return ids.front(); }
};

// https://docs.stripe.com/api/errors
class CallError : public std::runtime_error {
 public:
  CallError(int status, std::string type, std::string code, const std::string& message,
            std::string param = "")
      : std::runtime_error(message),
        status_(status),
        type_(std::move(type)),
        code_(std::move(code)),
        param_(std::move(param)) {}

  int status() const { return status_; }
  ApiAnswer answer() const;
  // Of a card: what the bank said.
  CallError&& declined(std::string code) && {
    decline_code_ = std::move(code);
    return std::move(*this);
  }

 private:
  int status_;
  std::string type_, code_, param_, decline_code_;
};

CallError invalid(const std::string& message, std::string param = "", std::string code = "");
CallError no_such(std::string_view type, const std::string& id, std::string param = "id", int status = 404);

}  // namespace billing::simulation
