#include "worker/refetch.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "worker/log.hpp"

namespace billing::worker {

namespace asio = boost::asio;

namespace {

constexpr auto kRound = std::chrono::seconds(1);
constexpr auto kLook = std::chrono::seconds(30);
constexpr int kRows = 16;  // fetched at once

}  // namespace

Refetch::Refetch(Runtime& runtime, stripe::Client* client)
    : runtime_(runtime),
      client_(client),
      store_(runtime.io, runtime.config->connection, runtime.config->schema),
      timer_(runtime.io) {}

void Refetch::start() {
  if (client_ != nullptr) asio::co_spawn(runtime_.io, run(), asio::detached);
}

asio::awaitable<void> Refetch::run() {
  for (;;) {
    std::chrono::milliseconds wait = kRound;
    bool more = false;
    try {
      if (runtime_.draining) {
        store_.close();
      } else if (!store_.is_open() && co_await store_.open()) {
        wait = reconnect_.next();
      } else {
        reconnect_.reset();
        co_await look_for_more();
        more = co_await round();
      }
    } catch (const std::exception& error) {
      log::Line(log::Level::error, "refetch_failed").add("error", error.what());
      store_.close();
    }
    if (more) continue;
    timer_.expires_after(wait);
    co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

asio::awaitable<void> Refetch::look_for_more() {
  if (Clock::now() - looked_for_more_ < kLook) co_return;
  looked_for_more_ = Clock::now();
  complaints_.note("request_stale_refetches", co_await store_.request_stale());
  if (!store_.is_open()) co_return;
  complaints_.note("request_missing_refetches", co_await store_.request_missing());
}

// True when there may be more at once.
asio::awaitable<bool> Refetch::round() {
  if (!store_.is_open()) co_return false;
  const Reply claimed = co_await store_.claim_refetches(kRows);
  complaints_.note("claim_stripe_refetches", claimed);
  if (!claimed.ok() || claimed.rows.empty()) co_return false;
  const std::vector<Wanted> wanted = Store::wanted(claimed);
  std::vector<stripe::FetchResult> results(wanted.size());
  co_await fetch_all(wanted, results);
  co_await store(wanted, results);
  co_return wanted.size() == kRows;
}

asio::awaitable<void> Refetch::fetch_all(const std::vector<Wanted>& wanted,
                                         std::vector<stripe::FetchResult>& results) {
  fetching_ = wanted.size();
  asio::steady_timer done(runtime_.io, asio::steady_timer::time_point::max());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const Wanted& one = wanted[i];
    asio::co_spawn(runtime_.io, stripe::fetch_object(*client_, one.account, one.type, one.id),
                   [this, &one, &result = results[i], &done](const std::exception_ptr& failure,
                                                             stripe::FetchResult found) {
                     result = std::move(found);
                     if (failure) result.error = "the fetch broke off";
                     result.fetch.id = one.fetch_id;
                     result.fetch.livemode = one.livemode;
                     --fetching_;
                     done.cancel();
                   });
  }
  while (fetching_ > 0) co_await done.async_wait(asio::as_tuple(asio::use_awaitable));
}

asio::awaitable<void> Refetch::store(const std::vector<Wanted>& wanted,
                                     const std::vector<stripe::FetchResult>& results) {
  std::vector<std::string> payloads;
  std::vector<const Wanted*> fetched;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const Wanted& one = wanted[i];
    if (results[i].error.empty()) {
      payloads.push_back(fetch_payload(results[i].fetch));
      fetched.push_back(&one);
      continue;
    }
    tell(one, "failed", results[i].error);
    complaints_.note("postpone_stripe_refetch", co_await store_.postpone_refetch(one, results[i].error));
  }
  if (payloads.empty()) co_return;
  // What is not stored is claimed again when its lease ends, and fetched anew.
  const std::vector<std::string_view> views(payloads.begin(), payloads.end());
  const std::vector<std::string_view> endpoints(payloads.size(), "");
  const Reply reply = co_await store_.process(views, endpoints, runtime_.config->batch_timeout);
  complaints_.note("process_stripe_events", reply);
  const auto outcomes = reply.ok() ? Store::results(reply, payloads.size()) : std::nullopt;
  if (!outcomes) co_return;
  for (std::size_t i = 0; i < fetched.size(); ++i) {
    const EventResult& result = outcomes->of_payloads[i];
    ++runtime_.metrics.outcomes[result.outcome];
    tell(*fetched[i], result.outcome, result.error);
  }
}

void Refetch::tell(const Wanted& wanted, const std::string& outcome, const std::string& error) {
  ++runtime_.metrics.fetches[outcome];
  log::Line(outcome == "failed" ? log::Level::warning : log::Level::info, "stripe_object_fetched")
      .add("object_type", wanted.type)
      .add("object_id", wanted.id)
      .add("reason", wanted.reason)
      .add("outcome", outcome)
      .add("error", error);
}

}  // namespace billing::worker
