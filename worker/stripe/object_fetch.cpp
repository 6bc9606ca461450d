#include "worker/stripe/object_fetch.hpp"

#include "worker/stripe/form.hpp"
#include "worker/stripe/resource.hpp"
#include "worker/text.hpp"

namespace billing::stripe {

namespace asio = boost::asio;

namespace {

constexpr const char* kSummary = "entitlements.active_entitlement_summary";
constexpr const char* kEntitlements = "/v1/entitlements/active_entitlements";

Json whole_list(Json elements, const std::string& url) {
  return {{"object", "list"}, {"data", std::move(elements)}, {"has_more", false}, {"url", url}};
}

// There is no summary to ask for: it is made of its list.
asio::awaitable<Answer> read_summary(Client& client, const std::string& account,
                                     const std::string& customer) {
  Call call;
  call.path = kEntitlements;
  call.parameters["customer"] = customer;
  call.account = account;
  Json entitlements;
  Answer answer = co_await read_list(client, std::move(call), entitlements);
  if (answer.ok())
    answer.body = {{"object", kSummary},
                   {"customer", customer},
                   {"entitlements", whole_list(std::move(entitlements), kEntitlements)}};
  co_return answer;
}

}  // namespace

std::string error_text(const Answer& answer) {
  std::string text = answer.error->message;
  if (!answer.error->code.empty()) text = answer.error->code + ": " + text;
  if (!answer.request_id.empty()) text += " (" + answer.request_id + ")";
  return text;
}

asio::awaitable<Answer> read_list(Client& client, Call call, Json& elements) {
  elements = Json::array();
  const auto take = [&elements](Json element) -> asio::awaitable<bool> {
    elements.push_back(std::move(element));
    co_return true;
  };
  co_return co_await client.list(std::move(call), take);
}

asio::awaitable<Answer> complete_lists(Client& client, std::string account, Json& object) {
  Answer answer;
  for (const char* name : kEmbeddedLists) {
    const Json& list = at(object, name);
    const std::string url = text_of(list, "url").value_or("");
    if (!flag_of(list, "has_more") || !url.starts_with("/v1/")) continue;
    Call call;
    call.path = url;
    call.account = account;
    Json elements;
    answer = co_await read_list(client, std::move(call), elements);
    if (!answer.ok()) break;
    object[name] = whole_list(std::move(elements), url);
  }
  co_return answer;
}

asio::awaitable<FetchResult> fetch_object(Client& client, std::string account, std::string type,
                                          std::string id) {
  FetchResult result;
  const Resource* resource = find_resource(type);
  Answer answer;
  if (type == kSummary) {
    answer = co_await read_summary(client, account, id);
  } else if (resource != nullptr) {
    Call call;
    call.path = "/v1/" + std::string(resource->path) + "/" + worker::percent_encode(id);
    call.account = account;
    answer = co_await client.call(std::move(call));
  } else {
    result.error = "objects of type " + type + " cannot be asked for";
    co_return result;
  }
  if (answer.ok() && !answer.read_after) {
    result.error = "the answer does not say when it was made";
    co_return result;
  }
  // Of the first answer: what the others say was read later still.
  result.fetch.began = answer.read_after.value_or(0);
  result.fetch.object = std::move(answer.body);
  if (answer.ok()) answer = co_await complete_lists(client, account, result.fetch.object);
  if (!answer.ok()) result.error = error_text(answer);
  result.fetch.api_version = kApiVersion;
  result.fetch.account = std::move(account);
  co_return result;
}

}  // namespace billing::stripe
