#include "core/digest.hpp"

#include <openssl/evp.h>

#include <array>
#include <stdexcept>

namespace billing {

std::string hex(std::span<const unsigned char> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const unsigned char byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 0x0f];
  }
  return text;
}

std::string sha256_hex(std::string_view text) {
  // Fetched once: EVP_sha256() would be looked up again each time, which takes longer than a short digest.
  static const EVP_MD* const sha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  if (sha256 == nullptr || EVP_Digest(text.data(), text.size(), digest.data(), &size, sha256, nullptr) != 1)
    throw std::runtime_error("SHA-256 is not available in this OpenSSL");
  return hex(std::span(digest).first(size));
}

}  // namespace billing
