// Natural batching.
#include "worker/batcher.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>

namespace billing::worker {

namespace asio = boost::asio;

Batcher::Batcher(Runtime& runtime) : runtime_(runtime) {
  for (std::uint64_t i = 0; i < runtime.config->connections; ++i)
    lanes_.push_back(std::make_unique<Lane>(runtime, waiting_));
}

void Batcher::start() {
  for (const auto& lane : lanes_) asio::co_spawn(runtime_.io, lane->run(), asio::detached);
}

asio::awaitable<Verdict> Batcher::submit(Webhook webhook, Clock::time_point arrived,
                                         Clock::time_point deadline) {
  // One customer's events on one connection: two of them would only wait for each other's locks.
  Lane& lane = *lanes_[std::hash<std::string>{}(webhook.subject) % lanes_.size()];
  if (lane.problem()) co_return Verdict{unavailable(*lane.problem()), {}};
  if (waiting_ >= runtime_.config->queue_events)
    co_return Verdict{
        unavailable({"queue_full", std::to_string(waiting_) + " events are waiting for the database",
                     "look at what slows the database down; Stripe sends the event again"}),
        {}};
  // The event is made where it is handed over: this coroutine must not own it, since it owns this coroutine.
  const auto enqueue = [&](auto handler) {
    auto pending = std::make_shared<Pending>();
    pending->webhook = std::move(webhook);
    pending->arrived = arrived;
    pending->deadline = deadline;
    // Shared, because the handler can only be moved and a std::function wants to be copied.
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    pending->answer = [shared](Verdict verdict) { std::move (*shared)(std::move(verdict)); };
    lane.push(std::move(pending));
  };
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Verdict)>(enqueue,
                                                                                        asio::use_awaitable);
}

void Batcher::expire(Clock::time_point now) {
  for (const auto& lane : lanes_) lane->expire(now);
}

std::size_t Batcher::open_lanes() const {
  std::size_t open = 0;
  for (const auto& lane : lanes_) open += lane->is_open() ? 1 : 0;
  return open;
}

std::optional<Problem> Batcher::problem() const {
  for (const auto& lane : lanes_)
    if (lane->problem()) return lane->problem();
  if (open_lanes() == 0)
    return Problem{"connecting", "the worker is connecting to the database", "ask again in a moment"};
  return std::nullopt;
}

}  // namespace billing::worker
