#include "worker/calls.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdlib>
#include <iostream>

#include "worker/backoff.hpp"
#include "worker/config.hpp"

namespace billing::worker {

namespace asio = boost::asio;

namespace {

constexpr auto kLimit = std::chrono::minutes(5);
constexpr int kMostTries = 8;

}  // namespace

asio::awaitable<void> pause(asio::io_context& io, std::chrono::milliseconds time) {
  asio::steady_timer timer(io, time);
  co_await timer.async_wait(asio::use_awaitable);
}

asio::awaitable<void> open_again(Store& store, asio::io_context& io) {
  Backoff backoff(std::chrono::milliseconds(250), std::chrono::milliseconds(5000));
  for (int tries = 1;; ++tries) {
    const auto problem = co_await store.open();
    if (!problem) co_return;
    if (problem->lasting || tries == kMostTries)
      throw CommandError(problem->message + "\nhint: " + problem->next_step);
    co_await pause(io, backoff.next());
  }
}

asio::awaitable<Reply> call_again(Store& store, asio::io_context& io, const char* call,
                                  std::vector<Parameter> parameters) {
  Backoff backoff(std::chrono::milliseconds(100), std::chrono::milliseconds(5000));
  for (int tries = 1;; ++tries) {
    if (!store.is_open()) co_await open_again(store, io);
    Reply reply = co_await store.call(call, parameters, kLimit);
    if (reply.ok()) co_return reply;
    if (reply.lost) store.close();
    const bool again = reply.lost || fault_of(reply.error->sqlstate) == Fault::system;
    if (!again || tries == kMostTries)
      throw CommandError(reply.error ? reply.error->message + " (" + reply.error->sqlstate + ")" +
                                           (reply.error->hint.empty() ? "" : "\nhint: " + reply.error->hint)
                                     : "the connection to the database was lost");
    co_await pause(io, backoff.next());
  }
}

Json answer_of(const Reply& reply) {
  if (reply.rows.empty() || !reply.rows[0].at(0)) return Json::object();
  return Json::parse(*reply.rows[0][0]);
}

Parameter integer(std::int64_t value) { return plain_text(std::to_string(value)); }

void end_by(const std::exception_ptr& failure) {
  int code = 1;
  try {
    std::rethrow_exception(failure);
  } catch (const ConfigError& error) {
    std::cerr << "pg_billing: " << error.what() << "\nhint: " << error.hint() << std::endl;
    code = 2;
  } catch (const std::exception& error) {
    std::cerr << "pg_billing: " << error.what() << std::endl;
  }
  std::_Exit(code);
}

}  // namespace billing::worker
