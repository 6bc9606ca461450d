// Tokens and keys: the vectors of RFC 7515, what is refused, and what forgers try.
#include "worker/api/jwt.hpp"

#include <gtest/gtest.h>
#include <openssl/hmac.h>
#include <rapidcheck/gtest.h>

#include "worker/api/base64url.hpp"

namespace billing::worker::api {
namespace {

using Kind = TokenProblem::Kind;

constexpr std::int64_t kNow = 1300819000;
const std::string kSecret = "a secret of forty bytes, made up for this";

// RFC 7515, appendices A.1 to A.3. Claims: {"iss":"joe", "exp":1300819380, "http://example.com/is_root":true}
const std::string kClaims =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const std::string kHs256 =
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + kClaims + ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const std::string kRs256 =
    "eyJhbGciOiJSUzI1NiJ9." + kClaims +
    ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_"
    "lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_"
    "nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-"
    "eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_"
    "IoypGlUPQGe77Rw";
const std::string kEs256 =
    "eyJhbGciOiJFUzI1NiJ9." + kClaims +
    ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const std::string kRsaKey =
    R"({"kty":"RSA","kid":"rsa","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"})";
const std::string kElliptic =
    R"({"kty":"EC","kid":"ec","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})";
const std::string kOct =
    R"({"kty":"oct","kid":"hmac","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"})";

KeySet set_of(const std::string& keys, bool secrets = true) {
  std::string problem;
  KeySet set = parse_key_set("{\"keys\":[" + keys + "]}", secrets, problem);
  EXPECT_EQ(problem.empty(), !set.empty()) << problem;
  return set;
}

TokenRules rules_of(std::string claim = "iss") {
  TokenRules rules;
  rules.claim = std::move(claim);
  return rules;
}

std::string signed_token(const std::string& header, const std::string& claims,
                         const std::string& secret = kSecret) {
  const std::string message = encode_base64url(header) + "." + encode_base64url(claims);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(message.data()), message.size(), digest, &size);
  return message + "." + encode_base64url({reinterpret_cast<const char*>(digest), size});
}

std::string token_of(const std::string& claims) {
  return signed_token(R"({"alg":"HS256","typ":"JWT"})", claims);
}

std::variant<Identity, TokenProblem> read(const std::string& token, const TokenRules& rules = {},
                                          std::int64_t now = kNow) {
  return read_token(token, {secret_key(kSecret)}, rules, now);
}

std::string user_of(const std::variant<Identity, TokenProblem>& read) {
  const auto* identity = std::get_if<Identity>(&read);
  return identity == nullptr ? "(" + std::get<TokenProblem>(read).message + ")" : identity->user_id;
}

Kind kind_of(const std::variant<Identity, TokenProblem>& read) {
  const auto* problem = std::get_if<TokenProblem>(&read);
  EXPECT_NE(problem, nullptr) << "was accepted";
  return problem == nullptr ? Kind::malformed : problem->kind;
}

TEST(Base64Url, HasOneSpellingOfEverything) {
  EXPECT_EQ(decode_base64url("AyM1"), "\x03#5");
  EXPECT_EQ(decode_base64url(""), "");
  for (const char* wrong : {"A", "AAAAA", "AB", "AAB", "AA==", "AA A", "AA\n", "+/AA", "é"})
    EXPECT_EQ(decode_base64url(wrong), std::nullopt) << wrong;
}

RC_GTEST_PROP(Base64Url, RoundTrips, (const std::string& bytes)) {
  RC_ASSERT(decode_base64url(encode_base64url(bytes)) == bytes);
}

TEST(Tokens, VectorsOfTheStandard) {
  const KeySet all = set_of(kOct + "," + kRsaKey + "," + kElliptic);
  ASSERT_EQ(all.size(), 3u);
  for (const std::string& token : {kHs256, kRs256, kEs256})
    EXPECT_EQ(user_of(read_token(token, all, rules_of(), kNow)), "joe");
  EXPECT_EQ(kind_of(read_token(kEs256, all, rules_of(), 1300819380 + 31)), Kind::expired);
  EXPECT_EQ(kind_of(read_token(kEs256, all, rules_of("sub"), kNow)), Kind::nobody);
}

TEST(Tokens, NoByteCanBeChanged) {
  const KeySet all = set_of(kOct + "," + kRsaKey + "," + kElliptic);
  for (const std::string& token : {kHs256, kRs256, kEs256})
    for (std::size_t i = 0; i < token.size(); ++i) {
      std::string other = token;
      other[i] = other[i] == 'A' ? 'B' : 'A';
      EXPECT_TRUE(std::holds_alternative<TokenProblem>(read_token(other, all, rules_of(), kNow))) << other;
    }
}

TEST(Tokens, TheKeyDecidesTheAlgorithm) {
  // Signed with the public key as if it were a secret: what has broken many libraries.
  const KeySet keys = set_of(kRsaKey);
  EXPECT_EQ(kind_of(read_token(signed_token(R"({"alg":"HS256"})", R"({"sub":"a","exp":9999999999})", kRsaKey),
                               keys, {}, kNow)),
            Kind::unsupported);
  EXPECT_EQ(kind_of(read_token(kHs256, keys, rules_of(), kNow)), Kind::unsupported);
  EXPECT_EQ(kind_of(read_token(kEs256, keys, rules_of(), kNow)), Kind::unsupported);
  for (const char* algorithm : {"none", "None", "NONE", "", "HS384", "HS512", "PS256", "hs256"}) {
    const std::string header = std::string(R"({"alg":")") + algorithm + R"("})";
    EXPECT_EQ(kind_of(read(signed_token(header, R"({"sub":"a","exp":9999999999})"))), Kind::unsupported);
  }
  const std::string unsigned_token =
      encode_base64url(R"({"alg":"none"})") + "." + encode_base64url(R"({"sub":"a","exp":9999999999})") + ".";
  EXPECT_EQ(kind_of(read(unsigned_token)), Kind::unsupported);
}

TEST(Tokens, EmptySignaturesAndOddPairsAreForged) {
  const KeySet all = set_of(kOct + "," + kRsaKey + "," + kElliptic);
  const std::string head = kEs256.substr(0, kEs256.rfind('.') + 1);
  for (const std::string& signature :
       {std::string(), encode_base64url(std::string(64, '\0')), encode_base64url(std::string(63, 'x')),
        encode_base64url(std::string(65, 'x')), encode_base64url(std::string(64, '\xff'))})
    EXPECT_EQ(kind_of(read_token(head + signature, all, rules_of(), kNow)), Kind::forged);
  EXPECT_EQ(kind_of(read_token(kRs256.substr(0, kRs256.rfind('.') + 1), all, rules_of(), kNow)),
            Kind::forged);
}

TEST(Tokens, KeysAreChosenByTheirIds) {
  const KeySet all = set_of(kRsaKey + "," + kOct);
  const std::string claims = R"({"sub":"ada","exp":9999999999})";
  const std::string secret = all[1].secret;
  EXPECT_EQ(
      user_of(read_token(signed_token(R"({"alg":"HS256","kid":"hmac"})", claims, secret), all, {}, kNow)),
      "ada");
  EXPECT_EQ(
      kind_of(read_token(signed_token(R"({"alg":"HS256","kid":"new"})", claims, secret), all, {}, kNow)),
      Kind::unknown_key);
  // A configured secret has no id: it is tried whatever the token says.
  EXPECT_EQ(user_of(read(signed_token(R"({"alg":"HS256","kid":"any"})", claims))), "ada");
  // While one secret replaces another, both count.
  const KeySet two = {secret_key("another secret that is being replaced.."), secret_key(kSecret)};
  EXPECT_EQ(user_of(read_token(token_of(claims), two, {}, kNow)), "ada");
  EXPECT_EQ(kind_of(read_token(signed_token(R"({"alg":"HS256"})", claims, "x"), two, {}, kNow)),
            Kind::forged);
}

struct Claims {
  const char* claims;
  Kind kind;
};
class RefusedClaims : public testing::TestWithParam<Claims> {};
TEST_P(RefusedClaims, SayWhy) {
  TokenRules rules;
  rules.issuers = {"https://id.example.com"};
  rules.audiences = {"billing", "app"};
  EXPECT_EQ(kind_of(read(token_of(GetParam().claims), rules)), GetParam().kind) << GetParam().claims;
}
INSTANTIATE_TEST_SUITE_P(
    Table, RefusedClaims,
    testing::Values(
        Claims{R"({"sub":"a"})", Kind::expired}, Claims{R"({"sub":"a","exp":"9999999999"})", Kind::expired},
        Claims{R"({"sub":"a","exp":null})", Kind::expired},
        Claims{R"({"sub":"a","exp":1300818969})", Kind::expired},
        Claims{R"({"sub":"a","exp":-1e300})", Kind::expired},
        Claims{R"({"sub":"a","exp":9999999999,"nbf":1300819031})", Kind::early},
        Claims{R"({"sub":"a","exp":9999999999,"nbf":"0"})", Kind::early},
        Claims{R"({"sub":"a","exp":9999999999,"aud":"app"})", Kind::issuer},
        Claims{R"({"sub":"a","exp":9999999999,"iss":["https://id.example.com"]})", Kind::issuer},
        Claims{R"({"sub":"a","exp":9999999999,"iss":"https://id.example.com/"})", Kind::issuer},
        Claims{R"({"sub":"a","exp":9999999999,"iss":"https://id.example.com"})", Kind::audience},
        Claims{R"({"sub":"a","exp":9999999999,"iss":"https://id.example.com","aud":["other"]})",
               Kind::audience},
        Claims{R"({"exp":9999999999,"iss":"https://id.example.com","aud":"app"})", Kind::nobody},
        Claims{R"({"sub":"","exp":9999999999,"iss":"https://id.example.com","aud":"app"})", Kind::nobody},
        Claims{R"({"sub":true,"exp":9999999999,"iss":"https://id.example.com","aud":"app"})", Kind::nobody},
        Claims{R"({"sub":{"a":1},"exp":9999999999,"iss":"https://id.example.com","aud":"app"})",
               Kind::nobody},
        Claims{R"([1])", Kind::malformed}, Claims{"", Kind::malformed},
        Claims{"{\"sub\":\"\xff\"}", Kind::malformed}));

TEST(Tokens, UsersAreReadFromTheClaim) {
  EXPECT_EQ(user_of(read(token_of(R"({"sub":"ada","exp":1300818971,"nbf":1300819030})"))), "ada");
  EXPECT_EQ(user_of(read(token_of(R"({"id":42,"exp":9999999999})"), rules_of("id"))), "42");
  EXPECT_EQ(user_of(read(token_of(R"({"app":{"team":"t1"},"exp":9999999999})"), rules_of("app.team"))), "t1");
  EXPECT_EQ(user_of(read(token_of(R"({"https://a.b/c":"t2","exp":9999999999})"), rules_of("https://a.b/c"))),
            "t2");
  TokenRules rules;
  rules.audiences = {"app"};
  EXPECT_EQ(user_of(read(token_of(R"({"sub":"ada","exp":9999999999,"aud":["x","app"]})"), rules)), "ada");
  const auto known = read(token_of(R"({"sub":"ada","email":"ada@example.com","exp":9999999999})"));
  EXPECT_EQ(std::get<Identity>(known).email, "ada@example.com");
  EXPECT_EQ(kind_of(read(token_of(R"({"sub":")" + std::string(256, 'x') + R"(","exp":9999999999})"))),
            Kind::nobody);
}

TEST(Tokens, HeadersThatMeanSomethingElse) {
  const std::string claims = R"({"sub":"ada","exp":9999999999})";
  for (const char* header : {R"({"alg":"HS256","crit":["b64"],"b64":false})",
                             R"({"alg":"HS256","typ":"logout+jwt"})", R"({"alg":"HS256","typ":7})"})
    EXPECT_EQ(kind_of(read(signed_token(header, claims))), Kind::unsupported) << header;
  EXPECT_EQ(user_of(read(signed_token(R"({"alg":"HS256","typ":"at+JWT"})", claims))), "ada");
  for (const std::string& token :
       {std::string(), std::string("a.b"), std::string(".."), std::string("a.b.c.d"), token_of(claims) + ".",
        token_of(claims) + "=", " " + token_of(claims)})
    EXPECT_EQ(kind_of(read(token)), Kind::malformed) << token;
}

TEST(Keys, WhatCannotBeUsedIsLeftOut) {
  const std::string short_modulus = R"({"kty":"RSA","n":"wPr7","e":"AQAB"})";
  const std::string off_the_curve =
      R"({"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"})";
  std::string encryption = kRsaKey, other = kRsaKey, signing = kRsaKey;
  encryption.insert(1, R"("use":"enc",)");
  other.insert(1, R"("alg":"PS256",)");
  signing.insert(1, R"("key_ops":["sign"],)");
  for (const std::string& key : {short_modulus, off_the_curve, encryption, other, signing, std::string("1"),
                                 std::string("{}"), std::string(R"({"kty":"oct","k":"c2hvcnQ"})"),
                                 std::string(R"({"kty":"OKP","crv":"Ed25519","x":"AA"})"),
                                 std::string(R"({"kty":"EC","crv":"P-384","x":"AA","y":"AA"})")})
    EXPECT_EQ(set_of(key).size(), 0u) << key;
  EXPECT_EQ(set_of(off_the_curve + "," + kElliptic).size(), 1u);
  // Whoever can fetch a set would know the secret in it.
  EXPECT_EQ(set_of(kOct, false).size(), 0u);
  std::string problem;
  for (const char* text : {"", "[]", "{}", R"({"keys":{}})"}) {
    EXPECT_TRUE(parse_key_set(text, true, problem).empty());
    EXPECT_FALSE(problem.empty());
  }
}

}  // namespace
}  // namespace billing::worker::api
