// Natural batching: whatever arrived while the last batch was in flight is the next batch.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <vector>

#include "worker/lane.hpp"
#include "worker/runtime.hpp"

namespace billing::worker {

class Batcher {
 public:
  explicit Batcher(Runtime& runtime);

  // Connects, and keeps connected.
  void start();
  // Ends when the event is committed, refused, or late.
  boost::asio::awaitable<Verdict> submit(Webhook webhook, Clock::time_point arrived,
                                         Clock::time_point deadline);
  void expire(Clock::time_point now);

  std::size_t waiting() const { return waiting_; }
  std::size_t open_lanes() const;
  // Why webhooks are refused at the moment, or nothing.
  std::optional<Problem> problem() const;

 private:
  Runtime& runtime_;
  std::size_t waiting_ = 0;
  std::vector<std::unique_ptr<Lane>> lanes_;
};

}  // namespace billing::worker
