// What browsers send.
#include "worker/operator/form.hpp"

#include "worker/text.hpp"

namespace billing::worker::operators {
namespace {

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool coded =
        text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0;
    if (coded) {
      out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

}  // namespace

Form::Form(std::string_view encoded) {
  if (encoded.empty()) return;
  for (const std::string& pair : split(encoded, '&')) {
    const std::size_t equals = pair.find('=');
    if (equals == std::string::npos) continue;
    const std::string value = decoded(std::string_view(pair).substr(equals + 1));
    if (valid_utf8(value) && value.find('\0') == std::string::npos)
      fields_.emplace(decoded(std::string_view(pair).substr(0, equals)), trim(value));
  }
}

std::string Form::get(const std::string& name) const {
  const auto found = fields_.find(name);
  return found == fields_.end() ? "" : found->second;
}

std::string percent_encoded(std::string_view text) {
  constexpr std::string_view kPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (kPlain.find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += '%';
      out += kDigits[static_cast<unsigned char>(c) >> 4];
      out += kDigits[static_cast<unsigned char>(c) & 0x0f];
    }
  }
  return out;
}

Link& Link::with(Literal name, std::string_view value) & {
  if (value.empty()) return *this;
  text_ += query_ ? '&' : '?';
  query_ = true;
  text_.append(name.text()).append("=").append(percent_encoded(value));
  return *this;
}

Link&& Link::with(Literal name, std::string_view value) && { return std::move(with(name, value)); }

}  // namespace billing::worker::operators
