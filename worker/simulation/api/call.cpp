#include "worker/simulation/api/call.hpp"

#include <algorithm>

namespace billing::simulation {

ApiAnswer CallError::answer() const {
  Json error = {{"message", what()}, {"type", type_}};
  if (!code_.empty()) {
    std::string page = code_;
    std::replace(page.begin(), page.end(), '_', '-');
    error["code"] = code_;
    error["doc_url"] = "https://stripe.com/docs/error-codes/" + page;
  }
  if (!decline_code_.empty()) error["decline_code"] = decline_code_;
  if (!param_.empty()) error["param"] = param_;
  ApiAnswer answer;
  answer.status = status_;
  answer.body = Json{{"error", std::move(error)}}.dump(2);
  return answer;
}

CallError invalid(const std::string& message, std::string param, std::string code) {
  return {400, "invalid_request_error", std::move(code), message, std::move(param)};
}

CallError no_such(std::string_view type, const std::string& id, std::string param, int status) {
  return {status, "invalid_request_error", "resource_missing",
          "No such " + std::string(type) + ": '" + id + "'", std::move(param)};
}

}  // namespace billing::simulation
