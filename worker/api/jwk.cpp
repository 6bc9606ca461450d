// The keys that tokens are signed with.
#include "worker/api/jwk.hpp"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>

#include <algorithm>

#include "core/json.hpp"
#include "worker/api/base64url.hpp"

namespace billing::worker::api {
namespace {

constexpr int kShortestModulus = 2048;   // bits: RFC 7518 section 3.3
constexpr std::size_t kCoordinate = 32;  // bytes, of P-256

template <auto free>
struct Free {
  template <typename T>
  void operator()(T* held) const {
    free(held);
  }
};
template <typename T, auto free>
using Held = std::unique_ptr<T, Free<free>>;

using Number = Held<BIGNUM, BN_free>;
using Builder = Held<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free>;
using Parameters = Held<OSSL_PARAM, OSSL_PARAM_free>;
using Context = Held<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

Number number_of(std::string_view bytes) {
  return Number(BN_bin2bn(bytes_of(bytes), static_cast<int>(bytes.size()), nullptr));
}

// Nothing when OpenSSL does not take it, for a point that is not on its curve for example.
std::shared_ptr<EVP_PKEY> build(const char* type, OSSL_PARAM_BLD* builder) {
  const Parameters parameters(OSSL_PARAM_BLD_to_param(builder));
  const Context context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!parameters || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters.get()) != 1)
    return nullptr;
  std::shared_ptr<EVP_PKEY> built(key, EVP_PKEY_free);
  const Context check(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  if (!check || EVP_PKEY_public_check(check.get()) != 1) return nullptr;
  return built;
}

std::shared_ptr<EVP_PKEY> rsa_key(const Json& jwk) {
  const auto modulus = decode_base64url(text_of(jwk, "n").value_or(""));
  const auto exponent = decode_base64url(text_of(jwk, "e").value_or(""));
  if (!modulus || !exponent) return nullptr;
  const Number n = number_of(*modulus);
  const Number e = number_of(*exponent);
  const Builder builder(OSSL_PARAM_BLD_new());
  if (!n || !e || !builder || BN_num_bits(n.get()) < kShortestModulus || BN_num_bits(n.get()) > 16384 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1)
    return nullptr;
  return build("RSA", builder.get());
}

std::shared_ptr<EVP_PKEY> elliptic_key(const Json& jwk) {
  const auto x = decode_base64url(text_of(jwk, "x").value_or(""));
  const auto y = decode_base64url(text_of(jwk, "y").value_or(""));
  if (text_of(jwk, "crv") != "P-256" || !x || !y || x->size() != kCoordinate || y->size() != kCoordinate)
    return nullptr;
  const std::string point = "\x04" + *x + *y;
  const Builder builder(OSSL_PARAM_BLD_new());
  if (!builder ||
      OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) !=
          1)
    return nullptr;
  return build("EC", builder.get());
}

// False when this is not a key that can be used here.
bool read_key(const Json& jwk, bool secrets, Key& key) {
  if (!jwk.is_object() || text_of(jwk, "use").value_or("sig") != "sig") return false;
  const Json& operations = at(jwk, "key_ops");
  if (operations.is_array() && std::find(operations.begin(), operations.end(), "verify") == operations.end())
    return false;
  key.id = text_of(jwk, "kid").value_or("");
  const std::string type = text_of(jwk, "kty").value_or("");
  if (type == "RSA") {
    key.algorithm = Algorithm::rs256;
    key.public_key = rsa_key(jwk);
    if (!key.public_key) return false;
  } else if (type == "EC") {
    key.algorithm = Algorithm::es256;
    key.public_key = elliptic_key(jwk);
    if (!key.public_key) return false;
  } else if (type == "oct" && secrets) {
    const auto secret = decode_base64url(text_of(jwk, "k").value_or(""));
    if (!secret || secret->size() < kShortestSecret) return false;
    key.algorithm = Algorithm::hs256;
    key.secret = *secret;
  } else {
    return false;
  }
  // A key that was made for RS512 or PS256 is not for this.
  return text_of(jwk, "alg").value_or(std::string(name_of(key.algorithm))) == name_of(key.algorithm);
}

bool verifies_hmac(const Key& key, std::string_view message, std::string_view signature) {
  unsigned char expected[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (HMAC(EVP_sha256(), key.secret.data(), static_cast<int>(key.secret.size()), bytes_of(message),
           message.size(), expected, &size) == nullptr)
    return false;
  return signature.size() == size && CRYPTO_memcmp(signature.data(), expected, size) == 0;
}

// Two numbers of 32 bytes each; OpenSSL wants them in DER.
std::string der_of(std::string_view signature) {
  const Held<ECDSA_SIG, ECDSA_SIG_free> pair(ECDSA_SIG_new());
  Number r = number_of(signature.substr(0, kCoordinate));
  Number s = number_of(signature.substr(kCoordinate));
  if (!pair || !r || !s || ECDSA_SIG_set0(pair.get(), r.get(), s.get()) != 1) return "";
  // They are the pair's now.
  (void)r.release();
  (void)s.release();
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(pair.get(), &der);
  if (size <= 0) return "";
  std::string text(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return text;
}

bool verifies_public(const Key& key, std::string_view message, std::string_view signature) {
  std::string der;
  if (key.algorithm == Algorithm::es256) {
    if (signature.size() != 2 * kCoordinate) return false;
    der = der_of(signature);
    signature = der;
  }
  const Held<EVP_MD_CTX, EVP_MD_CTX_free> context(EVP_MD_CTX_new());
  return context &&
         EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.public_key.get()) == 1 &&
         EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(message),
                          message.size()) == 1;
}

}  // namespace

std::string_view name_of(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::rs256:
      return "RS256";
    case Algorithm::es256:
      return "ES256";
    default:
      return "HS256";
  }
}

Key secret_key(std::string secret) {
  Key key;
  key.secret = std::move(secret);
  return key;
}

KeySet parse_key_set(std::string_view text, bool secrets, std::string& problem) {
  problem.clear();
  KeySet keys;
  const Json set = Json::parse(text, nullptr, false);
  if (!at(set, "keys").is_array()) {
    problem = "it is not a JWK Set, an object with an array \"keys\"";
    return keys;
  }
  for (const Json& jwk : at(set, "keys")) {
    Key key;
    if (read_key(jwk, secrets, key)) keys.push_back(std::move(key));
  }
  if (keys.empty()) problem = "it holds no key for RS256 (2048 bits or more), or for ES256 (P-256)";
  return keys;
}

bool verifies(const Key& key, std::string_view message, std::string_view signature) {
  return key.algorithm == Algorithm::hs256 ? verifies_hmac(key, message, signature)
                                           : verifies_public(key, message, signature);
}

}  // namespace billing::worker::api
