// One database connection and the events that go through it.
#include "worker/lane.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "worker/event_log.hpp"
#include "worker/log.hpp"

namespace billing::worker {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kMaxBatchEvents = 200;
constexpr std::size_t kMaxBatchBytes = 4 * 1024 * 1024;
constexpr int kMaxAttempts = 5;
constexpr Clock::duration kMostGathering = std::chrono::microseconds(600);

bool answered(const std::shared_ptr<Pending>& pending) { return !pending->answer; }

Problem problem_of(const Reply::Error& error) {
  return {"database_error",
          "the database could not store the event: " + error.message + " (" + error.sqlstate + ")",
          error.hint.empty() ? "see the worker's log and the server's log; Stripe sends the event again"
                             : error.hint};
}

void log_trouble(std::size_t events, const Reply& reply) {
  log::Line line(log::Level::warning, reply.lost ? "batch_outcome_unknown" : "batch_failed");
  line.add("events", static_cast<std::uint64_t>(events));
  if (reply.error) line.add("sqlstate", reply.error->sqlstate).add("error", reply.error->message);
}

}  // namespace

Lane::Lane(Runtime& runtime, std::size_t& waiting)
    : runtime_(runtime),
      waiting_(waiting),
      store_(runtime.io, runtime.config->connection, runtime.config->schema),
      timer_(runtime.io) {}

void Lane::push(std::shared_ptr<Pending> pending) {
  ++waiting_;
  queue_.push_back(std::move(pending));
  if (gathering_ && queue_.size() >= circulating_) timer_.cancel();
  store_.wake();
}

void Lane::expire(Clock::time_point now) {
  const auto judge = [&](const std::shared_ptr<Pending>& pending) {
    if (answered(pending) || pending->deadline > now) return;
    const Problem late{
        "not_confirmed_in_time", "the database did not confirm the event in time",
        problem_ ? problem_->next_step
                 : "look for locks and slow statements in the database; Stripe sends the event again"};
    answer(*pending, {unavailable(late), {}});
  };
  for (const auto& pending : queue_) judge(pending);
  for (const auto& pending : in_flight_) judge(pending);
  std::erase_if(queue_, answered);
}

void Lane::answer(Pending& pending, Verdict verdict) {
  if (!pending.answer) return;
  --waiting_;
  asio::post(runtime_.io, [give = std::exchange(pending.answer, nullptr),
                           verdict = std::move(verdict)]() mutable { give(std::move(verdict)); });
}

void Lane::refuse(const Batch& batch, const Problem& problem) {
  for (const auto& pending : batch) answer(*pending, {unavailable(problem), {}});
}

asio::awaitable<void> Lane::run() {
  for (;;) {
    bool failed = false;
    try {
      co_await turn();
    } catch (const std::exception& error) {
      // Out of memory, most likely. Nothing is acknowledged that was not committed.
      log::Line(log::Level::error, "lane_failed").add("error", error.what());
      refuse(in_flight_, {"internal_error", "the worker failed on this batch", "see the worker's log"});
      store_.close();
      failed = true;
    }
    in_flight_.clear();
    if (failed) co_await pause(std::chrono::milliseconds(100));
  }
}

asio::awaitable<void> Lane::turn() {
  if (!store_.is_open()) {
    const bool opened = co_await reopen();
    if (!opened) co_await pause(reconnect_.next());
  } else if (queue_.empty()) {
    co_await store_.idle();
  } else {
    co_await gather();
    Batch batch = take();
    const std::size_t size = batch.size();
    const auto began = Clock::now();
    co_await finish(std::move(batch));
    answered_ = Clock::now();
    patience_ = std::min(kMostGathering, (answered_ - began) / 4);
    circulating_ = size + queue_.size();
  }
}

// Senders with many events send the next one when the last is answered. Those who have just been answered are
// about to: without them, they and those who wait already would take turns, in batches of half the size. At
// low load nobody waits: a batch of one with nothing behind it has nobody to wait for.
asio::awaitable<void> Lane::gather() {
  const auto until = answered_ + patience_;
  if (queue_.size() >= circulating_ || Clock::now() >= until) co_return;
  gathering_ = true;
  timer_.expires_at(until);
  co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
  gathering_ = false;
}

Lane::Batch Lane::take() {
  Batch batch;
  std::size_t bytes = 0;
  while (!queue_.empty() && batch.size() < kMaxBatchEvents) {
    const std::size_t size = queue_.front()->webhook.payload.size();
    if (!batch.empty() && bytes + size > kMaxBatchBytes) break;
    bytes += size;
    batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return batch;
}

asio::awaitable<bool> Lane::reopen() {
  auto problem = co_await store_.open();
  if (!problem) {
    ++runtime_.metrics.database_connects;
    log::Line(log::Level::info, "database_connected").add("extension_version", store_.extension_version());
    problem_.reset();
    reconnect_.reset();
    co_return true;
  }
  ++runtime_.metrics.database_connect_failures;
  // Said once, not at every attempt.
  if (!problem_ || problem_->message != problem->message)
    log::Line(log::Level::error, "database_unavailable")
        .add("reason", problem->reason)
        .add("error", problem->message)
        .add("next_step", problem->next_step);
  // A server that restarts is worth waiting for until the deadline. This is not.
  if (problem->lasting) {
    refuse({queue_.begin(), queue_.end()}, *problem);
    refuse(in_flight_, *problem);
    queue_.clear();
  }
  problem_ = std::move(problem);
  co_return false;
}

asio::awaitable<void> Lane::pause(std::chrono::milliseconds time) {
  timer_.expires_after(time);
  co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
}

// Runs a batch, and where that leads nowhere, its halves: one bad event must not cost its neighbours.
asio::awaitable<void> Lane::finish(Batch batch) {
  in_flight_ = batch;
  std::vector<Batch> parts;
  parts.push_back(std::move(batch));
  while (!parts.empty()) {
    const End end = co_await execute(parts.back());
    if (end == End::answered) {
      parts.pop_back();
      continue;
    }
    Batch second(parts.back().begin() + static_cast<std::ptrdiff_t>(parts.back().size() / 2),
                 parts.back().end());
    parts.back().resize(parts.back().size() / 2);
    parts.push_back(std::move(second));
  }
}

asio::awaitable<Reply> Lane::send(const Batch& batch) {
  std::vector<std::string_view> payloads;
  std::vector<std::string_view> endpoints;
  for (const auto& pending : batch) {
    payloads.push_back(pending->webhook.payload);
    endpoints.push_back(pending->webhook.endpoint);
  }
  const auto started = Clock::now();
  Reply reply = co_await store_.process(payloads, endpoints, runtime_.config->batch_timeout);
  runtime_.metrics.batch_seconds.observe(Clock::now() - started);
  runtime_.metrics.batch_size.observe(static_cast<double>(batch.size()));
  co_return reply;
}

asio::awaitable<Lane::End> Lane::execute(Batch& batch) {
  Backoff again(std::chrono::milliseconds(50), std::chrono::milliseconds(1000));
  for (int attempt = 1, losses = 0;;) {
    // Who was answered in the meantime sends the event again: it need not be stored now.
    std::erase_if(batch, answered);
    if (batch.empty()) co_return End::answered;
    if (!store_.is_open()) {
      const bool opened = co_await reopen();
      if (!opened) co_await pause(reconnect_.next());
      continue;
    }
    const Reply reply = co_await send(batch);
    if (reply.ok()) {
      deliver(batch, reply);
      co_return End::answered;
    }
    log_trouble(batch.size(), reply);
    if (reply.lost) {
      // Committed or not, it is run again: what was stored before comes back as a duplicate.
      ++runtime_.metrics.batches_run_again;
      if (++losses > 1) co_await pause(again.next());
      continue;
    }
    const std::string& sqlstate = reply.error->sqlstate;
    const Fault fault = fault_of(sqlstate);
    if (fault == Fault::system && attempt++ < kMaxAttempts) {
      ++runtime_.metrics.batches_run_again;
      // A primary that became read-only may have a successor elsewhere.
      if (sqlstate == "25006") store_.close();
      co_await pause(again.next());
      continue;
    }
    const bool one_to_blame = fault == Fault::data || sqlstate.starts_with("XX");
    if (one_to_blame && batch.size() > 1) co_return End::split;
    refuse(batch, problem_of(*reply.error));
    co_return End::answered;
  }
}

void Lane::deliver(const Batch& batch, const Reply& reply) {
  const auto results = Store::results(reply, batch.size());
  if (!results) {
    log::Line(log::Level::error, "batch_failed")
        .add("error", "process_stripe_events left events out of its result");
    refuse(batch, {"database_error", "the database did not say what became of the event",
                   "install worker and extension of the same release"});
    return;
  }
  if (reply.unreplicated) {
    refuse(batch,
           {"not_replicated", "the event is stored, but the synchronous standby did not confirm it",
            "look after the standby, or change synchronous_standby_names; Stripe sends the event again"});
    return;
  }
  const auto now = Clock::now();
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const EventResult& result = results->of_payloads[i];
    ++runtime_.metrics.outcomes[result.outcome];
    if (result.outcome == "duplicate") ++runtime_.metrics.duplicates;
    log_outcome(batch[i]->webhook, result, now - batch[i]->arrived);
    answer(*batch[i], {std::nullopt, result});
  }
  for (const EventResult& result : results->woken) {
    ++runtime_.metrics.retried[result.outcome];
    log_retry(result);
  }
}

}  // namespace billing::worker
