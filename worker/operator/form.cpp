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

Link& Link::with(Literal name, std::string_view value) & {
  if (value.empty()) return *this;
  text_ += query_ ? '&' : '?';
  query_ = true;
  text_.append(name.text()).append("=").append(percent_encode(value));
  return *this;
}

Link&& Link::with(Literal name, std::string_view value) && { return std::move(with(name, value)); }

}  // namespace billing::worker::operators
