// Who is asking: reads a signed token and says which user it is of.
// https://www.rfc-editor.org/rfc/rfc7519 and https://www.rfc-editor.org/rfc/rfc8725
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/json.hpp"
#include "worker/api/jwk.hpp"

namespace billing::worker::api {

struct TokenRules {
  std::string claim = "sub";           // whose value is the user; a.b is b inside of a
  std::vector<std::string> issuers;    // one of them, unless there are none
  std::vector<std::string> audiences;  // likewise
  std::int64_t leeway = 30;            // seconds, for clocks that differ
};

struct Identity {
  std::string user_id;
  std::string email;  // claim email, "" without
};

// Why a token is not taken.
struct TokenProblem {
  enum class Kind { malformed, unsupported, unknown_key, forged, expired, early, issuer, audience, nobody };
  Kind kind = Kind::malformed;
  std::string message;
};

// The signature comes first: nothing that a token claims is looked at before it is known to be signed.
std::variant<Identity, TokenProblem> read_token(std::string_view token, const KeySet& keys,
                                                const TokenRules& rules, std::int64_t now);

}  // namespace billing::worker::api
