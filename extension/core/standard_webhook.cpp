#include "core/standard_webhook.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace billing {

std::optional<std::string> standard_webhook_key(std::string_view secret) {
  constexpr std::string_view kPrefix = "whsec_";
  if (!secret.starts_with(kPrefix)) return std::nullopt;
  secret.remove_prefix(kPrefix.size());
  if (secret.empty() || secret.size() % 4 != 0 || secret.size() > 128) return std::nullopt;
  std::string key(secret.size() / 4 * 3, '\0');
  const int size =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(key.data()),
                      reinterpret_cast<const unsigned char*>(secret.data()), static_cast<int>(secret.size()));
  if (size < 0) return std::nullopt;
  // What stands for the padding is decoded too.
  const std::size_t padding = secret.ends_with("==") ? 2 : secret.ends_with("=") ? 1 : 0;
  key.resize(static_cast<std::size_t>(size) - padding);
  if (key.size() < 24 || key.size() > 64) return std::nullopt;
  return key;
}

std::string standard_webhook_signature(const std::vector<std::string>& keys, std::string_view id,
                                       std::int64_t timestamp, std::string_view body) {
  std::string message(id);
  message += '.';
  message += std::to_string(timestamp);
  message += '.';
  message += body;
  std::string signatures;
  for (const std::string& key : keys) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
         reinterpret_cast<const unsigned char*>(message.data()), message.size(), digest, &size);
    unsigned char text[4 * ((EVP_MAX_MD_SIZE + 2) / 3) + 1];
    const int length = EVP_EncodeBlock(text, digest, static_cast<int>(size));
    if (!signatures.empty()) signatures += ' ';
    signatures += "v1,";
    signatures.append(reinterpret_cast<const char*>(text), static_cast<std::size_t>(length));
  }
  return signatures;
}

}  // namespace billing
