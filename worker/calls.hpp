// Calls of the extension's functions by commands that end: again where the system was at fault.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "worker/store.hpp"

namespace billing::worker {

// Nothing can go on: the key is wrong, the database refuses.
class CommandError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Connects, again after a while. Throws CommandError.
boost::asio::awaitable<void> open_again(Store& store, boost::asio::io_context& io);
// Throws CommandError.
boost::asio::awaitable<Reply> call_again(Store& store, boost::asio::io_context& io, const char* call,
                                         std::vector<Parameter> parameters);

boost::asio::awaitable<void> pause(boost::asio::io_context& io, std::chrono::milliseconds time);

// The one jsonb that a function has answered.
Json answer_of(const Reply& reply);

Parameter integer(std::int64_t value);
// g++ cannot keep a braced list over a co_await.
template <typename... Each>
std::vector<Parameter> these(Each... each) {
  std::vector<Parameter> all;
  (all.push_back(std::move(each)), ...);
  return all;
}

// Ends the process, telling why: what still waits for answers ends with it.
[[noreturn]] void end_by(const std::exception_ptr& failure);

}  // namespace billing::worker
