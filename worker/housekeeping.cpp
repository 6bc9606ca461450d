// What the worker does in the database besides webhooks.
#include "worker/housekeeping.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "worker/event_log.hpp"
#include "worker/log.hpp"

namespace billing::worker {

namespace asio = boost::asio;

namespace {

constexpr auto kRound = std::chrono::seconds(1);
constexpr auto kFigures = std::chrono::seconds(5);
// However often somebody scrapes, the database is not asked more often than this.
constexpr auto kFiguresAtMost = std::chrono::milliseconds(250);
constexpr auto kStale = std::chrono::seconds(45);  // more than the longest statement here may take
constexpr int kRetryRows = 100;
constexpr int kRetryRounds = 10;
constexpr int kRefreshRows = 500;
constexpr auto kDue = std::chrono::seconds(2);
constexpr int kDueRows = 500;

}  // namespace

Housekeeping::Housekeeping(Runtime& runtime)
    : runtime_(runtime),
      store_(runtime.io, runtime.config->connection, runtime.config->schema),
      timer_(runtime.io) {}

void Housekeeping::start(FirstLook first_look) {
  first_look_ = std::move(first_look);
  asio::co_spawn(runtime_.io, run(), asio::detached);
}

std::optional<Problem> Housekeeping::problem() const {
  if (!problem_ && Clock::now() - last_look_ > kStale)
    return Problem{"check_overdue", "the database has not answered the worker's check for 45 seconds",
                   "look for locks and slow statements in the database"};
  return problem_;
}

std::optional<Problem> Housekeeping::mode_problem() const {
  const char* ours = runtime_.config->live_mode ? "live" : "test";
  if (mode_.empty() || mode_ == ours) return std::nullopt;
  const bool live = mode_ == "live";
  return Problem{"mode_mismatch",
                 "the extension is in " + mode_ + " mode, the worker's STRIPE_LIVE_MODE is " +
                     (runtime_.config->live_mode ? "true" : "false"),
                 live
                     ? "set STRIPE_LIVE_MODE=true with live keys, or run SELECT set_billing_setting('mode', "
                       "'test', 'reason')"
                     : "set STRIPE_LIVE_MODE=false with test keys, or run SELECT set_billing_setting('mode', "
                       "'live', 'reason')"};
}

// What was written in a shadow's time would be told once it is over.
std::optional<Problem> Housekeeping::shadow_problem() const {
  if (!runtime_.config->shadow || !notifications_) return std::nullopt;
  return Problem{
      "shadow_notifies", "the worker is a shadow, and the extension writes notifications",
      "run SELECT set_billing_setting('notifications', 'off', 'shadow'), or start without --shadow"};
}

asio::awaitable<void> Housekeeping::run() {
  for (;;) {
    std::chrono::milliseconds wait = kRound;
    try {
      co_await round();
    } catch (const std::exception& error) {
      log::Line(log::Level::error, "housekeeping_failed").add("error", error.what());
      store_.close();
    }
    if (!store_.is_open()) wait = reconnect_.next();
    co_await rest(wait);
  }
}

// Until the next round, which a wish for figures interrupts.
asio::awaitable<void> Housekeeping::rest(std::chrono::milliseconds time) {
  const auto until = Clock::now() + time;
  while (Clock::now() < until) {
    const bool wanted = figures_wanted_ && store_.is_open();
    const auto allowed = figures_taken_ + kFiguresAtMost;
    if (wanted && Clock::now() >= allowed) {
      co_await take_figures();
      continue;
    }
    timer_.expires_at(wanted ? std::min(until, allowed) : until);
    co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

asio::awaitable<void> Housekeeping::renew_figures() {
  const std::uint64_t events = runtime_.metrics.events_handled();
  if (!store_.is_open() || (events == figures_events_ && Clock::now() - figures_taken_ < kFigures)) co_return;
  figures_wanted_ = true;
  timer_.cancel();
  // What is in the way, a long retry for example, is not waited for: the scrape shows what was known before.
  asio::steady_timer pause(runtime_.io);
  for (int i = 0; i < 50 && figures_wanted_ && store_.is_open(); ++i) {
    pause.expires_after(std::chrono::milliseconds(20));
    co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

asio::awaitable<void> Housekeeping::take_figures() {
  const std::uint64_t events = runtime_.metrics.events_handled();
  const Reply reply = co_await store_.figures();
  complaints_.note("ingest_metrics", reply);
  figures_wanted_ = false;
  figures_taken_ = Clock::now();
  figures_events_ = events;
  auto found = parse_figures(reply);
  if (!found) co_return;
  runtime_.metrics.database = std::move(found->figures);
  mode_ = std::move(found->mode);
  notifications_ = found->notifications;
}

asio::awaitable<void> Housekeeping::round() {
  auto problem = co_await look();
  last_look_ = Clock::now();
  if (problem && (!problem_ || problem_->message != problem->message))
    log::Line(log::Level::error, "not_ready")
        .add("reason", problem->reason)
        .add("error", problem->message)
        .add("next_step", problem->next_step);
  else if (!problem && problem_)
    log::Line(log::Level::info, "ready").add("mode", mode_);
  problem_ = std::move(problem);
  if (auto first_look = std::exchange(first_look_, nullptr)) first_look(problem_);
  if (!store_.is_open()) co_return;

  co_await retry();
  if (!store_.is_open()) co_return;
  if (Clock::now() - looked_for_due_ >= kDue) {
    const Reply due = co_await store_.notify_due(kDueRows);
    complaints_.note("notify_due", due);
    // As long as there is more than one look takes in, the next round looks on.
    const bool more = due.ok() && due.rows.size() == 1 && due.rows[0].at(0) == std::to_string(kDueRows);
    if (!more) looked_for_due_ = Clock::now();
    if (!store_.is_open()) co_return;
  }
  const Reply refreshed = co_await store_.refresh(kRefreshRows);
  complaints_.note("refresh_subscription_cache", refreshed);
}

asio::awaitable<std::optional<Problem>> Housekeeping::look() {
  std::optional<Problem> problem;
  if (store_.is_open()) {
    problem = co_await store_.check();
    // Not writable, or another extension by now: find the right server again.
    if (problem) store_.close();
  } else {
    problem = co_await store_.open();
    if (!problem) reconnect_.reset();
    figures_taken_ = {};
  }
  if (problem) {
    // Better no figures than old ones.
    runtime_.metrics.database.reset();
    co_return problem;
  }
  if (figures_wanted_ || Clock::now() - figures_taken_ >= kFigures) co_await take_figures();
  if (auto problem = mode_problem()) co_return problem;
  co_return shadow_problem();
}

asio::awaitable<void> Housekeeping::retry() {
  // More than one round when many are due, as after an outage; not for ever, the other tasks wait.
  for (int i = 0; i < kRetryRounds; ++i) {
    const Reply reply = co_await store_.retry(kRetryRows);
    complaints_.note("retry_stripe_events", reply);
    if (!reply.ok()) co_return;
    for (const EventResult& result : Store::retried(reply)) {
      ++runtime_.metrics.retried[result.outcome];
      log_retry(result);
    }
    if (reply.rows.size() < static_cast<std::size_t>(kRetryRows)) co_return;
  }
}

}  // namespace billing::worker
