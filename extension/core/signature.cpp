// Checks and makes the Stripe-Signature header: t=<unix seconds>,v1=<hex>[,v1=<hex>...][,v0=<hex>]
#include "core/signature.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <charconv>
#include <stdexcept>

namespace billing {
namespace {

constexpr std::size_t kMaxHeaderBytes = 4096;
constexpr std::size_t kMaxSignatures = 16;
constexpr std::size_t kHexLength = 64;

struct ParsedHeader {
  std::string_view timestamp_digits;
  std::int64_t timestamp = 0;
  std::vector<std::string_view> signatures;
};

bool parse_timestamp(std::string_view digits, std::int64_t& value) {
  // from_chars alone would take a sign.
  if (digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos) return false;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return error == std::errc() && end == digits.data() + digits.size();
}

SignatureVerdict parse_header(std::string_view header, ParsedHeader& parsed) {
  std::size_t timestamps = 0;
  while (!header.empty()) {
    const std::size_t comma = header.find(',');
    const std::string_view item = header.substr(0, comma);
    header.remove_prefix(comma == std::string_view::npos ? header.size() : comma + 1);
    // Other schemes (v0 on test events, whatever comes after v1) are Stripe's to add: passed over. White
    // space is not trimmed, because Stripe's own libraries do not trim it either.
    if (item.starts_with("t=")) {
      ++timestamps;
      parsed.timestamp_digits = item.substr(2);
    } else if (item.starts_with("v1=")) {
      if (parsed.signatures.size() == kMaxSignatures) return SignatureVerdict::too_many_signatures;
      parsed.signatures.push_back(item.substr(3));
    }
  }
  if (timestamps != 1 || !parse_timestamp(parsed.timestamp_digits, parsed.timestamp))
    return SignatureVerdict::malformed_timestamp;
  if (parsed.signatures.empty()) return SignatureVerdict::no_v1_signature;
  return SignatureVerdict::valid;
}

using HexDigest = std::array<char, kHexLength>;

HexDigest hmac_hex(std::string_view key, std::string_view message) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(message.data()), message.size(), digest.data(),
           &length) == nullptr ||
      length * 2 != kHexLength)
    throw std::runtime_error("HMAC-SHA256 is not available in this OpenSSL");
  constexpr char kDigits[] = "0123456789abcdef";
  HexDigest hex{};
  for (std::size_t i = 0; i < length; ++i) {
    hex[2 * i] = kDigits[digest[i] >> 4];
    hex[2 * i + 1] = kDigits[digest[i] & 0x0f];
  }
  return hex;
}

std::string signed_message(std::string_view timestamp, std::string_view body) {
  std::string message;
  message.reserve(timestamp.size() + 1 + body.size());
  message.append(timestamp).append(1, '.').append(body);
  return message;
}

}  // namespace

const char* name_of(SignatureVerdict verdict) {
  switch (verdict) {
    case SignatureVerdict::valid:
      return "valid";
    case SignatureVerdict::missing_header:
      return "missing_header";
    case SignatureVerdict::header_too_long:
      return "header_too_long";
    case SignatureVerdict::malformed_timestamp:
      return "malformed_timestamp";
    case SignatureVerdict::no_v1_signature:
      return "no_v1_signature";
    case SignatureVerdict::too_many_signatures:
      return "too_many_signatures";
    case SignatureVerdict::outside_tolerance:
      return "outside_tolerance";
    case SignatureVerdict::mismatch:
      return "mismatch";
    case SignatureVerdict::empty_body:
      return "empty_body";
  }
  return "unknown";
}

std::string explain(SignatureVerdict verdict, std::size_t secrets_tried) {
  switch (verdict) {
    case SignatureVerdict::valid:
      return "the signature is valid";
    case SignatureVerdict::missing_header:
      return "the request has no Stripe-Signature header: it does not come from Stripe, or a proxy in front "
             "removed the header";
    case SignatureVerdict::header_too_long:
      return "the Stripe-Signature header is longer than 4096 bytes";
    case SignatureVerdict::malformed_timestamp:
      return "the Stripe-Signature header needs exactly one t=<seconds>, in digits";
    case SignatureVerdict::no_v1_signature:
      return "the Stripe-Signature header has no v1 signature, the only scheme that counts";
    case SignatureVerdict::too_many_signatures:
      return "the Stripe-Signature header has more than 16 v1 signatures";
    case SignatureVerdict::outside_tolerance:
      return "the signature is right but its time is too far from this machine's clock: the clock is wrong, "
             "or "
             "an old request was sent again";
    case SignatureVerdict::mismatch:
      if (secrets_tried == 0) return "no signing secret is configured, so no signature can match";
      return "no signature matches, " + std::to_string(secrets_tried) +
             (secrets_tried == 1 ? " secret was tried" : " secrets were tried") +
             "; usually the secret belongs to another endpoint (the Stripe CLI's `stripe listen` prints a "
             "secret "
             "of its own, which differs from the Dashboard endpoint's), or something on the way changed the "
             "body";
    case SignatureVerdict::empty_body:
      return "the request has an empty body, so nothing was signed";
  }
  return "unknown";
}

SignatureVerdict verify_signature(std::string_view body, std::string_view header,
                                  const std::vector<std::string>& secrets, std::int64_t now,
                                  std::int64_t tolerance) {
  if (header.empty()) return SignatureVerdict::missing_header;
  if (header.size() > kMaxHeaderBytes) return SignatureVerdict::header_too_long;
  ParsedHeader parsed;
  const SignatureVerdict shape = parse_header(header, parsed);
  if (shape != SignatureVerdict::valid) return shape;
  if (body.empty()) return SignatureVerdict::empty_body;

  const std::string message = signed_message(parsed.timestamp_digits, body);
  bool matched = false;
  for (const std::string& secret : secrets) {
    const HexDigest expected = hmac_hex(secret, message);
    // Every pair is compared, so that the time taken does not tell which secret or signature matched.
    for (const std::string_view signature : parsed.signatures)
      matched |= signature.size() == expected.size() &&
                 CRYPTO_memcmp(signature.data(), expected.data(), expected.size()) == 0;
  }
  if (!matched) return SignatureVerdict::mismatch;
  // The age comes last: "your clock is wrong" is only worth saying about a request that Stripe did sign. The
  // timestamp is not negative, so the subtraction cannot overflow for any sensible `now`.
  if (tolerance > 0 && (parsed.timestamp < now - tolerance || parsed.timestamp > now + tolerance))
    return SignatureVerdict::outside_tolerance;
  return SignatureVerdict::valid;
}

std::string sign(std::string_view body, std::string_view secret, std::int64_t timestamp) {
  const std::string digits = std::to_string(timestamp);
  const HexDigest hex = hmac_hex(secret, signed_message(digits, body));
  return "t=" + digits + ",v1=" + std::string(hex.data(), hex.size());
}

std::string keyed_hash(std::string_view key, std::string_view message) {
  const HexDigest hex = hmac_hex(key, message);
  return {hex.data(), hex.size()};
}

std::string secret_problem(std::string_view secret) {
  if (secret.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos) return "is empty";
  if (secret.find_first_of(" \t\r\n\v\f") != std::string_view::npos) return "has white space in it";
  return "";
}

}  // namespace billing
