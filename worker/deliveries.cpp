// Delivers billing_notifications as signed webhooks.
#include "worker/deliveries.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "core/standard_webhook.hpp"
#include "worker/log.hpp"

namespace billing::worker {

namespace asio = boost::asio;

namespace {

// Between two looks without a wake-up: what has to be tried again wakes nobody.
constexpr auto kPoll = std::chrono::seconds(1);
constexpr std::uint64_t kEach = 8;  // notifications fetched for each connection
// How long the result of what was sent may take to be stored.
constexpr auto kSpare = std::chrono::seconds(30);

}  // namespace

Notification notification_from(const std::vector<std::optional<std::string>>& row) {
  Notification made;
  made.user_id = row.at(0).value_or("");
  made.id = row.at(1).value_or("");
  made.kind = row.at(2).value_or("");
  Json data = Json::parse(row.at(3).value_or("{}"), nullptr, false);
  if (!data.is_object()) data = Json::object();
  data["user_id"] = made.user_id;
  data["livemode"] = row.at(4) == "t";
  made.body =
      to_text({{"type", made.kind}, {"timestamp", row.at(5).value_or("")}, {"data", std::move(data)}});
  made.attempt = std::stoll(row.at(6).value_or("0"));
  return made;
}

Deliveries::Deliveries(Runtime& runtime)
    : runtime_(runtime),
      store_(runtime.io, runtime.config->connection, runtime.config->schema),
      timer_(runtime.io) {}

void Deliveries::start() { asio::co_spawn(runtime_.io, run(), asio::detached); }

void Deliveries::resume() {
  runtime_.metrics.deliveries_stopped = false;
  tls_.reset();
}

asio::awaitable<void> Deliveries::run() {
  for (;;) {
    std::chrono::milliseconds wait = kPoll;
    bool more = false;
    try {
      const bool wanted = runtime_.config->notify_to && !runtime_.metrics.deliveries_stopped;
      if (!wanted || runtime_.draining) {
        store_.close();
      } else if (!co_await open()) {
        wait = reconnect_.next();
      } else {
        more = co_await round();
      }
    } catch (const std::exception& error) {
      log::Line(log::Level::error, "notifications_failed").add("error", error.what());
      store_.close();
    }
    busy_ = false;
    if (!more) co_await store_.rest(timer_, wait);
  }
}

asio::awaitable<bool> Deliveries::open() {
  if (store_.is_open()) co_return true;
  if (co_await store_.open()) co_return false;
  reconnect_.reset();
  const Reply listening = co_await store_.listen("pg_billing_notifications");
  if (!listening.ok()) complaints_.note("listen", listening);
  co_return store_.is_open();
}

// True when there may be more at once.
asio::awaitable<bool> Deliveries::round() {
  const std::shared_ptr<const Config> config = runtime_.config;
  store_.take_notified();
  busy_ = true;
  const std::uint64_t rows = config->notify_connections * kEach;
  const auto lease =
      std::chrono::ceil<std::chrono::seconds>(config->notify_timeout * static_cast<int>(2 * kEach)) + kSpare;
  const Reply claimed = co_await store_.claim_notifications(rows, lease);
  complaints_.note("claim_billing_notifications", claimed);
  if (!claimed.ok() || claimed.rows.empty()) co_return false;
  std::map<std::string, std::vector<Notification>> by_user;
  std::vector<std::string> order;
  for (const auto& row : claimed.rows) {
    Notification one = notification_from(row);
    auto& theirs = by_user[one.user_id];
    if (theirs.empty()) order.push_back(one.user_id);
    theirs.push_back(std::move(one));
  }
  Queue queue;
  for (const std::string& user : order) queue.push_back(std::move(by_user[user]));
  co_await send_all(std::move(queue));
  co_return claimed.rows.size() == rows;
}

asio::awaitable<void> Deliveries::send_all(Queue queue) {
  const std::shared_ptr<const Config> config = runtime_.config;
  if (!config->notify_to) co_return;
  if (config->notify_to->tls && !tls_) tls_ = load_client_tls(config->notify_certificates);
  const auto shared = std::make_shared<Queue>(std::move(queue));
  const std::size_t senders = std::min<std::size_t>(config->notify_connections, shared->size());
  for (senders_ = 0; senders_ < senders; ++senders_)
    asio::co_spawn(runtime_.io, send_from(shared, config, tls_), [this](const std::exception_ptr& failure) {
      --senders_;
      if (failure) log::Line(log::Level::error, "notifications_failed").add("error", "a sender broke off");
      timer_.cancel();
    });
  // What has been answered is stored while others are still being waited for.
  while (senders_ > 0 || !results_.empty()) {
    if (!results_.empty()) {
      co_await store_results();
      continue;
    }
    timer_.expires_after(kPoll);
    co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

asio::awaitable<void> Deliveries::send_from(std::shared_ptr<Queue> queue,
                                            std::shared_ptr<const Config> config, TlsContext tls) {
  Outbound outbound(runtime_.io, *config->notify_to, std::move(tls));
  while (!queue->empty()) {
    const std::vector<Notification> theirs = std::move(queue->front());
    queue->pop_front();
    for (const Notification& one : theirs) {
      Outbound::Answer answer;
      if (runtime_.metrics.deliveries_stopped || runtime_.draining) {
        answer.error = "not sent: the worker stops";
        answer.retry_after = std::chrono::seconds(0);
      } else {
        const std::int64_t now = std::chrono::duration_cast<std::chrono::seconds>(
                                     std::chrono::system_clock::now().time_since_epoch())
                                     .count();
        const Outbound::Headers headers = {
            {"webhook-id", one.id},
            {"webhook-timestamp", std::to_string(now)},
            {"webhook-signature", standard_webhook_signature(config->notify_keys, one.id, now, one.body)}};
        answer = co_await outbound.post(headers, one.body, config->notify_timeout);
      }
      results_.push_back(result_of(one, answer));
      timer_.cancel();
    }
  }
}

Json Deliveries::result_of(const Notification& notification, const Outbound::Answer& answer) {
  const bool success = answer.status >= 200 && answer.status < 300;
  const bool sent = answer.status != 0 || !answer.retry_after;
  std::string error = answer.error;
  if (!success && answer.status != 0)
    error = "status " + std::to_string(answer.status) +
            (answer.status >= 300 && answer.status < 400 ? ": redirects are not followed" : "");
  Json options = {{"attempt", notification.attempt}};
  if (answer.retry_after) options["retry_in"] = std::to_string(answer.retry_after->count()) + " seconds";
  if (sent) ++runtime_.metrics.deliveries[success ? "delivered" : "failed"];
  if (sent)
    log::Line(success ? log::Level::info : log::Level::warning,
              success ? "notification_delivered" : "notification_failed")
        .add("notification_id", notification.id)
        .add("kind", notification.kind)
        .add("attempt", notification.attempt)
        .add("error", error);
  // Gone for good: whoever runs the receiver wants no more, and a reload or a restart asks again.
  if (answer.status == 410 && !std::exchange(runtime_.metrics.deliveries_stopped, true))
    log::Line(log::Level::error, "notifications_stopped")
        .add("error", "the receiver answered 410: it wants no more notifications")
        .add("next_step", "correct PG_BILLING_NOTIFY_URL, and send SIGHUP to the worker");
  return {{"user_id", notification.user_id},
          {"notification_id", notification.id},
          {"success", success},
          {"error", error.empty() ? Json(nullptr) : Json(error)},
          {"options", std::move(options)}};
}

// What cannot be stored is delivered again when its lease ends.
asio::awaitable<void> Deliveries::store_results() {
  const Json results = std::exchange(results_, {});
  const Reply reply = co_await store_.finish_notifications(to_text(results));
  complaints_.note("finish_billing_notification", reply);
}

}  // namespace billing::worker
