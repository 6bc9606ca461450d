#include "worker/reconcile/timer.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "worker/log.hpp"

namespace billing::reconcile {

namespace asio = boost::asio;

namespace {

// What is lost while it does not run is found all the same.
constexpr Seconds kLeastSpan = 86400;

}  // namespace

Timer::Timer(worker::Runtime& runtime, stripe::Client* client)
    : runtime_(runtime), client_(client), timer_(runtime.io) {}

void Timer::start() {
  if (client_ != nullptr && runtime_.config->reconcile_every.count() > 0)
    asio::co_spawn(runtime_.io, run(), asio::detached);
}

asio::awaitable<void> Timer::run() {
  const auto every = runtime_.config->reconcile_every;
  const Seconds seconds = std::max<Seconds>(1, every.count() / 1000);
  Reconciliation reconciliation(runtime_.io, *runtime_.config, *client_);
  // Several workers ask; the database says who does it.
  Request request;
  request.every = std::max<Seconds>(1, seconds - 1);
  request.span = std::clamp<Seconds>(seconds * 3, kLeastSpan, kLeastSpan * 30);
  for (;;) {
    timer_.expires_after(every);
    co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
    if (runtime_.draining) continue;
    std::string failure;
    Json report = Json::object();
    try {
      report = co_await reconciliation.run(request);
    } catch (const std::exception& error) {
      failure = error.what();
    }
    if (text_of(report, "status") == "not_due") continue;
    const auto count = [&](const char* name) {
      return static_cast<std::uint64_t>(integer_of(report, name).value_or(0));
    };
    if (failure.empty() && !flag_of(report, "success"))
      failure =
          text_of(report, "error").value_or(text_of(report, "reason").value_or("it could not be finished"));
    const bool found = count("updated") + count("missing") > 0;
    worker::log::Line(!failure.empty() || found ? worker::log::Level::warning : worker::log::Level::info,
                      "reconciled")
        .add("matched", count("matched"))
        .add("updated", count("updated"))
        .add("missing", count("missing"))
        .add("error", failure);
  }
}

}  // namespace billing::reconcile
