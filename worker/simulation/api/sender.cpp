#include "worker/simulation/api/sender.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "core/signature.hpp"
#include "worker/config.hpp"
#include "worker/simulation/poster.hpp"

namespace billing::simulation {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using std::chrono::milliseconds;

namespace {

constexpr int kConnections = 8;
constexpr milliseconds kFirstRetry{50};
constexpr milliseconds kLastRetry{5000};
constexpr std::chrono::seconds kTimeout{30};

}  // namespace

void Sender::send(const Emitted& event, const std::string& target) {
  letters_.push_back({event.id, event.payload, target, std::chrono::steady_clock::now(), 0});
  start();
}

void Sender::start() {
  if (working_ >= kConnections) return;
  ++working_;
  asio::co_spawn(io_, work(), asio::detached);
}

asio::awaitable<void> Sender::work() {
  while (!letters_.empty()) {
    Letter letter = std::move(letters_.front());
    letters_.pop_front();
    const auto found = shop_.targets().find(letter.target);
    if (found == shop_.targets().end() || !found->second.enabled) continue;
    const Target target = found->second;
    if (co_await post(target, letter.payload)) {
      shop_.journal().delivered(letter.event, letter.target);
    } else if (std::chrono::steady_clock::now() - letter.first < give_up_) {
      asio::co_spawn(io_, send_later(std::move(letter)), asio::detached);
    }
  }
  --working_;
}

asio::awaitable<void> Sender::send_later(Letter letter) {
  asio::steady_timer timer(io_, std::min(kLastRetry, kFirstRetry * (1 << std::min(letter.attempts, 10))));
  co_await timer.async_wait(asio::use_awaitable);
  // What was to be sent again while nothing is delivered is lost.
  if (!shop_.delivering()) co_return;
  ++letter.attempts;
  letters_.push_back(std::move(letter));
  start();
}

asio::awaitable<bool> Sender::post(const Target& target, const std::string& payload) {
  // Elsewhere than on plain http nobody is reached: it counts as not acknowledged.
  if (!target.url.starts_with("http://")) co_return false;
  PostTarget address;
  try {
    address = parse_url(target.url);
  } catch (const worker::ConfigError&) {
    co_return false;
  }
  const auto plain = asio::as_tuple(asio::use_awaitable);
  tcp::resolver resolver(io_);
  const auto [unknown, endpoints] = co_await resolver.async_resolve(address.host, address.port, plain);
  if (unknown) co_return false;
  for (const auto& entry : endpoints)
    if (!allow_remote_ && !entry.endpoint().address().is_loopback()) co_return false;
  beast::tcp_stream stream(io_);
  stream.expires_after(kTimeout);
  const auto [refused, connected] = co_await stream.async_connect(endpoints, plain);
  if (refused) co_return false;
  const auto now =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch());
  http::request<http::string_body> request(http::verb::post, address.path, 11, payload);
  request.set(http::field::host, address.host + ":" + address.port);
  request.set(http::field::user_agent, "Stripe/1.0 (+https://stripe.com/docs/webhooks)");
  request.set(http::field::content_type, "application/json; charset=utf-8");
  request.set("Stripe-Signature", sign(payload, target.secret, now.count()));
  request.keep_alive(false);
  request.prepare_payload();
  const auto [unsent, written] = co_await http::async_write(stream, request, plain);
  if (unsent) co_return false;
  beast::flat_buffer buffer;
  http::response<http::string_body> response;
  const auto [unread, size] = co_await http::async_read(stream, buffer, response, plain);
  co_return !unread && response.result_int() / 100 == 2;
}

}  // namespace billing::simulation
