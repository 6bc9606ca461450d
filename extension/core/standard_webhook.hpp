// Signatures of outgoing webhooks, as Standard Webhooks has them:
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace billing {

// The key behind "whsec_" and its base64; nothing unless it is 24 to 64 bytes.
std::optional<std::string> standard_webhook_key(std::string_view secret);

// The header webhook-signature: one signature for each key, the receiver's choice while one is being
// replaced.
std::string standard_webhook_signature(const std::vector<std::string>& keys, std::string_view id,
                                       std::int64_t timestamp, std::string_view body);

}  // namespace billing
