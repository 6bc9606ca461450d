// Waiting for what is about to be applied: an event finds its user busy and is tried again within a second,
// or a webhook is on its way.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>

#include "worker/api/call.hpp"

namespace billing::worker::api {

// Asks `question`, with the user as $1 and `value` as $2, until it is true, or for three seconds. Most often
// the first look is enough.
boost::asio::awaitable<void> wait_until(Call& call, std::string question, std::string value);

}  // namespace billing::worker::api
