// One database connection and the events that go through it, a batch at a time.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "worker/backoff.hpp"
#include "worker/runtime.hpp"
#include "worker/store.hpp"
#include "worker/webhook.hpp"

namespace billing::worker {

// What a sender is told about an event: its result once that is committed, or why not.
struct Verdict {
  std::optional<Refusal> refusal;
  EventResult result;
};

// An event between its arrival and its answer.
struct Pending {
  Webhook webhook;
  Clock::time_point arrived;
  Clock::time_point deadline;
  std::function<void(Verdict)> answer;  // empty once it was given
};

class Lane {
 public:
  // `waiting` counts the events of all lanes that have no answer yet.
  Lane(Runtime& runtime, std::size_t& waiting);

  void push(std::shared_ptr<Pending> pending);
  // Answers 503 to those whose time is up. Their batch, if they are in one, goes on.
  void expire(Clock::time_point now);

  // Why events cannot be taken now: the last attempt to connect failed.
  const std::optional<Problem>& problem() const { return problem_; }
  bool is_open() const { return store_.is_open(); }

  // For ever.
  boost::asio::awaitable<void> run();

 private:
  using Batch = std::vector<std::shared_ptr<Pending>>;
  enum class End { answered, split };

  Batch take();
  boost::asio::awaitable<void> turn();
  boost::asio::awaitable<void> gather();
  boost::asio::awaitable<void> finish(Batch batch);
  boost::asio::awaitable<End> execute(Batch& batch);
  boost::asio::awaitable<Reply> send(const Batch& batch);
  boost::asio::awaitable<bool> reopen();
  boost::asio::awaitable<void> pause(std::chrono::milliseconds time);
  void deliver(const Batch& batch, const Reply& reply);
  void refuse(const Batch& batch, const Problem& problem);
  void answer(Pending& pending, Verdict verdict);

  Runtime& runtime_;
  std::size_t& waiting_;
  Store store_;
  Backoff reconnect_{std::chrono::milliseconds(100), std::chrono::milliseconds(5000)};
  std::optional<Problem> problem_;
  std::deque<std::shared_ptr<Pending>> queue_;
  Batch in_flight_;
  // Of the last batch: when it was answered, how long the next one may wait for those who were, and how many
  // they are.
  Clock::time_point answered_;
  Clock::duration patience_{};
  std::size_t circulating_ = 0;
  bool gathering_ = false;
  boost::asio::steady_timer timer_;
};

}  // namespace billing::worker
