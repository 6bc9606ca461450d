// Who is asking.
#include "worker/api/jwt.hpp"

#include <algorithm>

#include "worker/api/base64url.hpp"
#include "worker/text.hpp"

namespace billing::worker::api {
namespace {

using Kind = TokenProblem::Kind;

constexpr std::size_t kLongestUser = 255;

// JSON of a part of the token; discarded when it is not an object.
Json object_of(std::string_view part) {
  const auto bytes = decode_base64url(part);
  if (!bytes || !valid_utf8(*bytes)) return Json(Json::value_t::discarded);
  try {
    Json value = parse_json(*bytes);
    if (value.is_object()) return value;
  } catch (const JsonError&) {
    // Said by whoever called.
  }
  return Json(Json::value_t::discarded);
}

// One of the words that say what a token is for: "at+jwt" is an access token, "logout+jwt" is not.
bool is_access_token(const Json& header) {
  if (!header.contains("typ")) return true;
  const std::string type = text_of(header, "typ").value_or("");
  for (const std::string_view known : {"JWT", "at+jwt", "application/at+jwt"})
    if (equals_ignoring_case(type, known)) return true;
  return false;
}

std::optional<TokenProblem> check_header(const Json& header) {
  if (header.is_discarded()) return TokenProblem{Kind::malformed, "the token's header is not a JSON object"};
  // Extensions that must be understood, none of which is.
  if (header.contains("crit")) return TokenProblem{Kind::unsupported, "the token's header has \"crit\""};
  if (!is_access_token(header))
    return TokenProblem{Kind::unsupported, "the token is of another type than JWT"};
  return std::nullopt;
}

std::optional<TokenProblem> check_signature(const Json& header, std::string_view signed_part,
                                            std::string_view signature, const KeySet& keys) {
  const std::string algorithm = text_of(header, "alg").value_or("");
  const bool known = std::any_of(keys.begin(), keys.end(),
                                 [&](const Key& key) { return name_of(key.algorithm) == algorithm; });
  if (!known)
    return TokenProblem{Kind::unsupported, "the token's algorithm is not one that a key is configured for"};
  const auto id = text_of(header, "kid");
  bool any = false;
  for (const Key& key : keys) {
    if (name_of(key.algorithm) != algorithm) continue;
    // A key without an id may be anybody's; so may a token's.
    if (id && !key.id.empty() && *id != key.id) continue;
    any = true;
    if (verifies(key, signed_part, signature)) return std::nullopt;
  }
  if (!any) return TokenProblem{Kind::unknown_key, "the token is signed with a key that is not known"};
  return TokenProblem{Kind::forged, "the token's signature is wrong"};
}

std::optional<double> date_of(const Json& claims, const char* name) {
  const Json& value = at(claims, name);
  if (!value.is_number()) return std::nullopt;
  return value.get<double>();
}

std::optional<TokenProblem> check_times(const Json& claims, const TokenRules& rules, std::int64_t now) {
  const auto expires = date_of(claims, "exp");
  if (!expires) return TokenProblem{Kind::expired, "the token has no end (exp)"};
  if (!(*expires + static_cast<double>(rules.leeway) > static_cast<double>(now)))
    return TokenProblem{Kind::expired, "the token has expired"};
  if (!claims.contains("nbf")) return std::nullopt;
  const auto begins = date_of(claims, "nbf");
  if (!begins || !(*begins - static_cast<double>(rules.leeway) <= static_cast<double>(now)))
    return TokenProblem{Kind::early, "the token is not valid yet (nbf)"};
  return std::nullopt;
}

bool is_one_of(const Json& value, const std::vector<std::string>& allowed) {
  return value.is_string() &&
         std::find(allowed.begin(), allowed.end(), value.get_ref<const std::string&>()) != allowed.end();
}

std::optional<TokenProblem> check_parties(const Json& claims, const TokenRules& rules) {
  if (!rules.issuers.empty() && !is_one_of(at(claims, "iss"), rules.issuers))
    return TokenProblem{Kind::issuer, "the token is from another issuer"};
  if (rules.audiences.empty()) return std::nullopt;
  const Json& audience = at(claims, "aud");
  const bool ours = audience.is_array()
                        ? std::any_of(audience.begin(), audience.end(),
                                      [&](const Json& one) { return is_one_of(one, rules.audiences); })
                        : is_one_of(audience, rules.audiences);
  if (!ours) return TokenProblem{Kind::audience, "the token is for another audience"};
  return std::nullopt;
}

// The claim of exactly this name, else the one at the end of the path.
const Json& claim_at(const Json& claims, const std::string& name) {
  if (claims.contains(name)) return claims.at(name);
  const Json* value = &claims;
  for (const std::string& step : split(name, '.')) value = &at(*value, step.c_str());
  return *value;
}

std::variant<Identity, TokenProblem> identity_of(const Json& claims, const TokenRules& rules) {
  const Json& value = claim_at(claims, rules.claim);
  Identity identity;
  if (value.is_string())
    identity.user_id = value.get<std::string>();
  else if (value.is_number_integer())
    identity.user_id = value.dump();
  if (identity.user_id.empty() || identity.user_id.size() > kLongestUser)
    return TokenProblem{Kind::nobody, "the token's claim " + rules.claim + " names no user"};
  identity.email = text_of(claims, "email").value_or("");
  return identity;
}

}  // namespace

std::variant<Identity, TokenProblem> read_token(std::string_view token, const KeySet& keys,
                                                const TokenRules& rules, std::int64_t now) {
  const std::size_t first = token.find('.');
  const std::size_t last = token.rfind('.');
  if (first == std::string_view::npos || first == last || token.find('.', first + 1) != last)
    return TokenProblem{Kind::malformed, "the token is not three parts with dots between them"};
  const Json header = object_of(token.substr(0, first));
  if (auto problem = check_header(header)) return *problem;
  const auto signature = decode_base64url(token.substr(last + 1));
  if (!signature) return TokenProblem{Kind::malformed, "the token's signature is not base64url"};
  if (auto problem = check_signature(header, token.substr(0, last), *signature, keys)) return *problem;
  const Json claims = object_of(token.substr(first + 1, last - first - 1));
  if (claims.is_discarded()) return TokenProblem{Kind::malformed, "the token's claims are not a JSON object"};
  if (auto problem = check_times(claims, rules, now)) return *problem;
  if (auto problem = check_parties(claims, rules)) return *problem;
  return identity_of(claims, rules);
}

}  // namespace billing::worker::api
