// Stripe's webhook signature. https://docs.stripe.com/webhooks#verify-manually
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace billing {

inline constexpr std::int64_t kSignatureTolerance = 300;  // seconds, in both directions

enum class SignatureVerdict {
  valid,
  missing_header,       // absent or empty
  header_too_long,      // over 4 KiB
  malformed_timestamp,  // t missing, repeated, empty or not digits
  no_v1_signature,
  too_many_signatures,  // more than 16 v1
  outside_tolerance,
  mismatch,
  empty_body,
};

// The name for logs and metrics: "missing_header", ...
const char* name_of(SignatureVerdict verdict);
// One sentence for people: what is wrong and what usually causes it. `secrets_tried` is how many were
// compared.
std::string explain(SignatureVerdict verdict, std::size_t secrets_tried);

// Compares in constant time against every secret (whsec_..., whole string as key). `now` is in Unix seconds.
// A tolerance of 0 or less turns the age check off, as in Stripe's libraries.
SignatureVerdict verify_signature(std::string_view body, std::string_view header,
                                  const std::vector<std::string>& secrets, std::int64_t now,
                                  std::int64_t tolerance = kSignatureTolerance);

// A header that verify_signature accepts: for tests, the demo and simulations.
std::string sign(std::string_view body, std::string_view secret, std::int64_t timestamp);

// HMAC-SHA-256 of the message, in hex.
std::string keyed_hash(std::string_view key, std::string_view message);

// "" when usable as a secret; otherwise what is wrong with it (empty, or white space inside), without the
// secret.
std::string secret_problem(std::string_view secret);

}  // namespace billing
