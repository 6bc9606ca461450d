// One connection to the operator's page: reads a request within its limits and its time, hands it on, writes
// the answer, and ends.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>

#include "worker/operator/request.hpp"
#include "worker/response.hpp"
#include "worker/transport.hpp"

namespace billing::worker::operators {

// Answers every request, also with what went wrong.
using Answerer = std::function<boost::asio::awaitable<Response>(Request)>;

// Runs one; `place` is held as long as it takes.
void start_session(boost::asio::io_context& io, boost::asio::ip::tcp::socket socket, const TlsContext& tls,
                   Answerer answer, std::shared_ptr<void> place);

}  // namespace billing::worker::operators
