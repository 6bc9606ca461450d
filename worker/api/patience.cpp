// Waiting for what is about to be applied.
#include "worker/api/patience.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace billing::worker::api {

namespace asio = boost::asio;

namespace {

constexpr int kLooks = 30;
constexpr auto kBetweenLooks = std::chrono::milliseconds(100);

}  // namespace

asio::awaitable<void> wait_until(Call& call, std::string question, std::string value) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  for (int look = 0; look < kLooks; ++look) {
    const std::string answer = co_await call.database.text(question, call.user.user_id, value);
    if (answer == "t") co_return;
    timer.expires_after(kBetweenLooks);
    co_await timer.async_wait(asio::use_awaitable);
  }
}

}  // namespace billing::worker::api
