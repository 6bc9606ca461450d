// Beside another system: what that one says otherwise.
#include "worker/shadow.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <iterator>

#include "worker/log.hpp"

namespace billing::worker {

namespace asio = boost::asio;

namespace {

// More than these have one cause, which the first ones show.
constexpr std::size_t kLines = 100;

void log_each(log::Level level, const char* what, const Differences& differences) {
  std::size_t lines = 0;
  for (const Difference& one : differences) {
    if (++lines > kLines) return;
    log::Line line(level, what);
    line.add("user_id", one.user_id).add("field", one.field);
    // A null is left out: it is not the same as an empty text.
    if (one.theirs) line.add("theirs", *one.theirs);
    if (one.ours) line.add("ours", *one.ours);
  }
}

}  // namespace

StandingDifferences::News StandingDifferences::look(Differences found) {
  Differences standing;
  std::ranges::set_intersection(found, last_, std::inserter(standing, standing.end()));
  News news;
  std::ranges::set_difference(standing, standing_, std::inserter(news.appeared, news.appeared.end()));
  std::ranges::set_difference(standing_, standing, std::inserter(news.gone, news.gone.end()));
  last_ = std::move(found);
  standing_ = std::move(standing);
  return news;
}

Shadow::Shadow(Runtime& runtime)
    : runtime_(runtime),
      store_(runtime.io, runtime.config->connection, runtime.config->schema),
      timer_(runtime.io) {}

void Shadow::start() { asio::co_spawn(runtime_.io, run(), asio::detached); }

asio::awaitable<void> Shadow::run() {
  for (;;) {
    std::chrono::milliseconds wait = runtime_.config->shadow_interval;
    try {
      if (runtime_.config->shadow_query.empty() || runtime_.draining) {
        store_.close();
      } else if (!store_.is_open() && co_await store_.open()) {
        wait = reconnect_.next();
      } else {
        reconnect_.reset();
        co_await compare();
      }
    } catch (const std::exception& error) {
      log::Line(log::Level::error, "shadow_failed").add("error", error.what());
      store_.close();
    }
    timer_.expires_after(wait);
    co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

asio::awaitable<void> Shadow::compare() {
  const Reply reply = co_await store_.compare(runtime_.config->shadow_query);
  complaints_.note("compare_billing_state", reply);
  ShadowFigures& figures = runtime_.metrics.shadow;
  if (!reply.ok()) {
    figures.compared = false;
    co_return;
  }
  Differences found;
  for (const auto& row : reply.rows)
    found.insert({row.at(0).value_or(""), row.at(1).value_or(""), row.at(2), row.at(3)});
  tell(differences_.look(std::move(found)));
  ++figures.comparisons;
  figures.compared = true;
  figures.differences.clear();
  for (const Difference& one : differences_.standing()) ++figures.differences[one.field];
}

void Shadow::tell(const StandingDifferences::News& news) const {
  log_each(log::Level::warning, "shadow_difference", news.appeared);
  log_each(log::Level::info, "shadow_difference_gone", news.gone);
  log::Line(log::Level::info, "shadow_compared")
      .add("differences", static_cast<std::uint64_t>(differences_.standing().size()))
      .add("appeared", static_cast<std::uint64_t>(news.appeared.size()))
      .add("gone", static_cast<std::uint64_t>(news.gone.size()));
}

}  // namespace billing::worker
