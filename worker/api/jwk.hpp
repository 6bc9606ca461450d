// The keys that tokens are signed with. Each has one algorithm, which its type decides: what a token says of
// itself never chooses how a key is used.
// https://www.rfc-editor.org/rfc/rfc7517 and https://www.rfc-editor.org/rfc/rfc7518#section-6
#pragma once

#include <openssl/types.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace billing::worker::api {

enum class Algorithm { hs256, rs256, es256 };
std::string_view name_of(Algorithm algorithm);

struct Key {
  std::string id;  // "kid"; "" when it has none
  Algorithm algorithm = Algorithm::hs256;
  std::string secret;                    // HS256
  std::shared_ptr<EVP_PKEY> public_key;  // RS256, ES256
};
using KeySet = std::vector<Key>;

// 256 bits: RFC 7518 section 3.2.
inline constexpr std::size_t kShortestSecret = 32;
Key secret_key(std::string secret);

// A JWK Set. Keys that cannot be used here are left out: of other types, for encryption, too short. `problem`
// is "" unless no key is left, or this is no JWK Set. Secrets count only where `secrets` says so: a set that
// anybody can fetch has none.
KeySet parse_key_set(std::string_view text, bool secrets, std::string& problem);

// Whether `signature` is what this key makes of `message`.
bool verifies(const Key& key, std::string_view message, std::string_view signature);

}  // namespace billing::worker::api
