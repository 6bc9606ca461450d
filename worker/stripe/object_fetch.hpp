// One object as Stripe's API has it now, whole: lists inside it that are cut short are read to their end.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>

#include "core/fetch.hpp"
#include "worker/stripe/client.hpp"

namespace billing::stripe {

struct FetchResult {
  Fetch fetch;        // without id and livemode
  std::string error;  // why there is none, for people; never a secret
};

// `account` is a connected account, or "" for the key's own. A summary of entitlements has its customer's id.
boost::asio::awaitable<FetchResult> fetch_object(Client& client, std::string account, std::string type,
                                                 std::string id);

// Reads lists inside the object that are cut short to their end. The answer is the last one's; ok when there
// was nothing to read.
boost::asio::awaitable<Answer> complete_lists(Client& client, std::string account, Json& object);

// Why an answer is none, for people; never a secret.
std::string error_text(const Answer& answer);

// All of a list, page after page.
boost::asio::awaitable<Answer> read_list(Client& client, Call call, Json& elements);

}  // namespace billing::stripe
