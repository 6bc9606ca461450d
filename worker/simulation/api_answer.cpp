// What the simulated account's API says to a request.
#include <charconv>

#include "worker/simulation/api_server.hpp"
#include "worker/stripe/resource.hpp"
#include "worker/text.hpp"

namespace billing::simulation {
namespace {

std::string decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    const char* digits = text.data() + i + 1;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2) {
      out += static_cast<char>(byte);
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

ApiAnswer refuse(int status, const char* type, const char* code, const std::string& message,
                 const char* param = "") {
  Json error = {{"type", type}, {"message", message}};
  if (*code != '\0') error["code"] = code;
  if (*param != '\0') error["param"] = param;
  return {status, {{"error", std::move(error)}}};
}

ApiAnswer unrecognised(std::string_view method, const std::string& path) {
  return refuse(404, "invalid_request_error", "",
                "Unrecognized request URL (" + std::string(method) + ": " + path + ").");
}

bool read(const std::string& text, std::int64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// Reads one parameter of a list into the query; what is wrong with it otherwise.
std::optional<ApiAnswer> read_parameter(const std::string& name, const std::string& value,
                                        Books::Query& query) {
  std::int64_t number = 0;
  const auto wrong = [&](const char* expected) {
    return refuse(400, "invalid_request_error", "parameter_invalid_integer",
                  "Invalid " + std::string(expected) + ": " + value, name.c_str());
  };
  if (name == "limit") {
    if (!read(value, number) || number < 1 || number > 100) return wrong("integer");
    query.limit = static_cast<std::size_t>(number);
  } else if (name == "starting_after") {
    query.starting_after = value;
  } else if (name.starts_with("created[")) {
    if (!read(value, number)) return wrong("integer");
    const std::string bound = name.substr(8, name.size() - 9);
    if (bound == "gte")
      query.from = number;
    else if (bound == "gt")
      query.from = number + 1;
    else if (bound == "lt")
      query.until = number;
    else if (bound == "lte")
      query.until = number + 1;
    else
      return refuse(400, "invalid_request_error", "parameter_unknown", "Received unknown parameter: " + name,
                    name.c_str());
  } else if (name == "status" && value == "all") {
    return std::nullopt;
  } else if (name == "customer" || name == "subscription" || name == "status" || name == "invoice" ||
             name == "charge" || name == "payment_intent" || name == "product") {
    query.members[name] = value;
  } else if (!name.starts_with("expand")) {
    return refuse(400, "invalid_request_error", "parameter_unknown", "Received unknown parameter: " + name,
                  name.c_str());
  }
  return std::nullopt;
}

ApiAnswer list(const Books& books, const stripe::Resource& resource, const std::string& path,
               std::string_view parameters) {
  Books::Query query;
  query.type = resource.type;
  const bool all = parameters.find("status=all") != std::string_view::npos;
  for (const std::string& parameter : worker::split(parameters, '&')) {
    const std::size_t equals = std::min(parameter.find('='), parameter.size());
    const std::string_view text = parameter;
    if (parameter.empty()) continue;
    if (const auto wrong = read_parameter(decode(text.substr(0, equals)),
                                          decode(text.substr(std::min(equals + 1, text.size()))), query))
      return *wrong;
  }
  // https://docs.stripe.com/api/subscriptions/list#list_subscriptions-status
  if (resource.type == "subscription" && !all && !query.members.contains("status"))
    query.without = {"status", "canceled"};
  const auto page = books.list(query);
  if (!page)
    return refuse(400, "invalid_request_error", "resource_missing",
                  "No such object: '" + query.starting_after + "'", "starting_after");
  return {200, {{"object", "list"}, {"url", path}, {"has_more", page->has_more}, {"data", page->objects}}};
}

}  // namespace

ApiAnswer answer_api(const Books& books, std::string_view method, std::string_view target,
                     std::string_view authorization) {
  constexpr std::string_view kScheme = "Bearer ";
  const std::string_view key = authorization.starts_with(kScheme) ? authorization.substr(kScheme.size()) : "";
  if (key.empty())
    return refuse(
        401, "invalid_request_error", "",
        "You did not provide an API key. You need to provide your API key in the Authorization header.");
  if (!key.starts_with("sk_test_") && !key.starts_with("rk_test_"))
    return refuse(401, "invalid_request_error", "",
                  "Invalid API Key provided: " + std::string(key.substr(0, 8)) + "****");
  const std::size_t question = std::min(target.find('?'), target.size());
  const std::string path = decode(target.substr(0, question));
  const std::string_view parameters = target.substr(std::min(question + 1, target.size()));
  if (!path.starts_with("/v1/") || method != "GET") return unrecognised(method, path);
  const std::string_view rest = std::string_view(path).substr(4);
  for (const stripe::Resource& resource : stripe::resources()) {
    if (!rest.starts_with(resource.path)) continue;
    const std::string_view id = rest.substr(resource.path.size());
    if (id.empty()) return list(books, resource, path, parameters);
    if (id.front() != '/' || id.find('/', 1) != std::string_view::npos) continue;
    auto object = books.find(std::string(resource.type), std::string(id.substr(1)));
    if (object) return {200, std::move(*object)};
    return refuse(404, "invalid_request_error", "resource_missing",
                  "No such " + std::string(resource.type) + ": '" + std::string(id.substr(1)) + "'", "id");
  }
  return unrecognised(method, path);
}

}  // namespace billing::simulation
