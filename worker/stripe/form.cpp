#include "worker/stripe/form.hpp"

#include <stdexcept>

#include "worker/text.hpp"

namespace billing::stripe {
namespace {

std::string text_of_scalar(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return "";
  return value.dump();
}

void append(std::string& out, const std::string& name, const Json& value) {
  if (value.is_object()) {
    for (const auto& [key, member] : value.items())
      append(out, name + "[" + worker::percent_encode(key) + "]", member);
    return;
  }
  if (value.is_array()) {
    for (std::size_t i = 0; i < value.size(); ++i)
      append(out, name + "[" + std::to_string(i) + "]", value[i]);
    return;
  }
  if (!out.empty()) out += '&';
  out.append(name).append("=").append(worker::percent_encode(text_of_scalar(value)));
}

}  // namespace

std::string encode_form(const Json& parameters) {
  if (!parameters.is_object()) throw std::invalid_argument("parameters of a request must be an object");
  std::string out;
  for (const auto& [key, value] : parameters.items()) append(out, worker::percent_encode(key), value);
  return out;
}

}  // namespace billing::stripe
