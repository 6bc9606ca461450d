// The Stripe-Signature header: our own vectors, and those recorded from Stripe's SDK when they are at hand.
#include "core/signature.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#ifndef PG_BILLING_SOURCE_DIR
#define PG_BILLING_SOURCE_DIR "."
#endif

namespace billing {
namespace {

constexpr std::int64_t kNow = 1767225600;  // 2026-01-01
const std::string kSecret = "whsec_unit_test";
const std::string kBody = R"({"id":"evt_1","object":"event"})";
const std::string kOther(64, '0');

std::string hex_of(const std::string& header) { return header.substr(header.find("v1=") + 3); }
std::string right() { return hex_of(sign(kBody, kSecret, kNow)); }
std::string stamp() { return "t=" + std::to_string(kNow); }

SignatureVerdict verdict(const std::string& header, std::int64_t now = kNow) {
  return verify_signature(kBody, header, {kSecret}, now);
}

TEST(Signature, KnownHmacSha256) {
  // openssl dgst -sha256 -hmac whsec_known, of 1767225600.{}
  EXPECT_EQ(sign("{}", "whsec_known", kNow),
            "t=1767225600,v1=475b630172e40df145f496e5c48fc3bceccc53ce5b348b36618ba17ee97894c3");
}

TEST(Signature, AcceptsWhatItSigned) {
  EXPECT_EQ(verdict(sign(kBody, kSecret, kNow)), SignatureVerdict::valid);
  const std::string binary("{\"a\":\"\x00\xff\"}", 10);
  EXPECT_EQ(verify_signature(binary, sign(binary, kSecret, kNow), {kSecret}, kNow), SignatureVerdict::valid);
}

TEST(Signature, OneChangedByteIsAMismatch) {
  const std::string header = sign(kBody, kSecret, kNow);
  for (std::size_t i = 0; i < kBody.size(); ++i) {
    std::string changed = kBody;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_EQ(verify_signature(changed, header, {kSecret}, kNow), SignatureVerdict::mismatch) << i;
  }
  EXPECT_EQ(verify_signature(kBody + "\n", header, {kSecret}, kNow), SignatureVerdict::mismatch);
}

TEST(Signature, AnySecretMayMatchAnySignature) {
  const std::string header = stamp() + ",v1=" + kOther + ",v1=" + right();
  EXPECT_EQ(verify_signature(kBody, header, {"whsec_new", kSecret}, kNow), SignatureVerdict::valid);
  EXPECT_EQ(verify_signature(kBody, header, {kSecret, "whsec_new"}, kNow), SignatureVerdict::valid);
  EXPECT_EQ(verify_signature(kBody, header, {"whsec_new", "whsec_newer"}, kNow), SignatureVerdict::mismatch);
  EXPECT_EQ(verify_signature(kBody, header, {}, kNow), SignatureVerdict::mismatch);
}

TEST(Signature, ToleranceHoldsInBothDirections) {
  const std::string header = sign(kBody, kSecret, kNow);
  for (const int age : {0, 1, 299, 300, -1, -300})
    EXPECT_EQ(verdict(header, kNow + age), SignatureVerdict::valid) << age;
  for (const int age : {301, 86400, -301, -86400})
    EXPECT_EQ(verdict(header, kNow + age), SignatureVerdict::outside_tolerance) << age;
  EXPECT_EQ(verify_signature(kBody, header, {kSecret}, kNow + 11, 10), SignatureVerdict::outside_tolerance);
  EXPECT_EQ(verify_signature(kBody, header, {kSecret}, kNow + 86400, 0), SignatureVerdict::valid);
  EXPECT_EQ(verify_signature(kBody, header, {kSecret}, kNow + 86400, -1), SignatureVerdict::valid);
}

TEST(Signature, AnOldRequestWithAWrongSecretIsAMismatch) {
  EXPECT_EQ(verify_signature(kBody, sign(kBody, "whsec_other", kNow), {kSecret}, kNow + 86400),
            SignatureVerdict::mismatch);
}

TEST(Signature, TimestampMustBeOneNumber) {
  for (const std::string& timestamp :
       {std::string(), std::string("t=,"), std::string("t=abc,"), std::string("t=-1,"), std::string("t=+1,"),
        std::string("t= 1767225600,"), std::string("t=1767225600 ,"), std::string("t=0x1,"),
        std::string("t=99999999999999999999,"), stamp() + "," + stamp() + ",", "t=1," + stamp() + ","})
    EXPECT_EQ(verdict(timestamp + "v1=" + right()), SignatureVerdict::malformed_timestamp) << timestamp;
}

TEST(Signature, OnlyV1Counts) {
  EXPECT_EQ(verdict(stamp()), SignatureVerdict::no_v1_signature);
  EXPECT_EQ(verdict(stamp() + ",v0=" + right()), SignatureVerdict::no_v1_signature);
  EXPECT_EQ(verdict(stamp() + ", v1=" + right()), SignatureVerdict::no_v1_signature);
  EXPECT_EQ(verdict(stamp() + ",V1=" + right()), SignatureVerdict::no_v1_signature);
  EXPECT_EQ(verdict(stamp() + ",v0=" + right() + ",v1=" + kOther), SignatureVerdict::mismatch);
  EXPECT_EQ(verdict(stamp() + ",v1=" + right() + ",v2=abc,"), SignatureVerdict::valid);
  EXPECT_EQ(verdict("v1=" + right() + "," + stamp()), SignatureVerdict::valid);
}

TEST(Signature, HexMustBeExact) {
  std::string upper = right();
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  for (const std::string& hex : {upper, right().substr(0, 40), right() + "00", std::string(), right() + " "})
    EXPECT_EQ(verdict(stamp() + ",v1=" + hex), SignatureVerdict::mismatch) << hex;
}

TEST(Signature, Limits) {
  std::string sixteen = stamp();
  for (int i = 0; i < 15; ++i) sixteen += ",v1=" + kOther;
  sixteen += ",v1=" + right();
  EXPECT_EQ(verdict(sixteen), SignatureVerdict::valid);
  EXPECT_EQ(verdict(sixteen + ",v1=" + kOther), SignatureVerdict::too_many_signatures);
  const std::string header = sign(kBody, kSecret, kNow) + ",v2=";
  EXPECT_EQ(verdict(header + std::string(4096 - header.size(), 'a')), SignatureVerdict::valid);
  EXPECT_EQ(verdict(header + std::string(4097 - header.size(), 'a')), SignatureVerdict::header_too_long);
}

TEST(Signature, EmptyInputs) {
  EXPECT_EQ(verdict(""), SignatureVerdict::missing_header);
  EXPECT_EQ(verify_signature("", sign("", kSecret, kNow), {kSecret}, kNow), SignatureVerdict::empty_body);
  for (const char* garbage : {"garbage", ",", ",,,", "=", "t", "v1", "t=1=2,v1=x"})
    EXPECT_NE(verdict(garbage), SignatureVerdict::valid) << garbage;
}

TEST(Signature, SecretProblem) {
  EXPECT_EQ(secret_problem(kSecret), "");
  EXPECT_EQ(secret_problem(""), "is empty");
  EXPECT_EQ(secret_problem(" \t\n"), "is empty");
  for (const char* secret : {" whsec_a", "whsec_a\n", "whsec a", "whsec\ta"})
    EXPECT_EQ(secret_problem(secret), "has white space in it") << secret;
}

TEST(Signature, EveryVerdictIsNamedAndExplained) {
  std::set<std::string> names;
  for (int i = 0; i <= static_cast<int>(SignatureVerdict::empty_body); ++i) {
    const auto each = static_cast<SignatureVerdict>(i);
    EXPECT_TRUE(names.insert(name_of(each)).second);
    EXPECT_NE(explain(each, 1), "unknown");
  }
  EXPECT_NE(explain(SignatureVerdict::mismatch, 1).find("1 secret was tried"), std::string::npos);
  EXPECT_NE(explain(SignatureVerdict::mismatch, 3).find("3 secrets were tried"), std::string::npos);
  EXPECT_NE(explain(SignatureVerdict::mismatch, 1).find("stripe listen"), std::string::npos);
}

std::string decode_base64(const std::string& text) {
  static const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  unsigned int bits = 0;
  int count = 0;
  for (const char c : text) {
    const std::size_t value = alphabet.find(c);
    if (value == std::string::npos) continue;
    bits = bits << 6 | static_cast<unsigned int>(value);
    count += 6;
    if (count >= 8) bytes += static_cast<char>(bits >> (count -= 8) & 0xff);
  }
  return bytes;
}

TEST(Signature, VerdictsOfStripesSdk) {
  const char* given = std::getenv("PG_BILLING_PAYLOADS");
  const std::filesystem::path directory =
      given != nullptr ? std::filesystem::path(given)
                       : std::filesystem::path(PG_BILLING_SOURCE_DIR) / ".." / "shared" / "payloads";
  std::ifstream file(directory / "signatures.jsonl");
  if (!file) GTEST_SKIP() << "no signatures.jsonl in " << directory;
  // Stripe's SDK takes any time in the future, and the last of several timestamps. We do not.
  const std::set<std::string> stricter = {"age -301", "age -86400", "duplicate t, last right"};
  std::size_t vectors = 0;
  for (std::string line; std::getline(file, line); ++vectors) {
    const auto vector = nlohmann::json::parse(line);
    const std::string name = vector.at("name");
    const SignatureVerdict found =
        verify_signature(decode_base64(vector.at("payload_b64")), vector.at("header").get<std::string>(),
                         {vector.at("secret").get<std::string>()}, vector.at("now"), vector.at("tolerance"));
    const bool accept = vector.at("expect") == "ok" && stricter.count(name) == 0;
    EXPECT_EQ(found == SignatureVerdict::valid, accept) << name << ": " << name_of(found);
  }
  EXPECT_GT(vectors, 0u);
}

}  // namespace
}  // namespace billing
