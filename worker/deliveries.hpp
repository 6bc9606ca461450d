// Delivers billing_notifications as signed webhooks: fetches what is due, sends it, says what became of it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/json.hpp"
#include "worker/backoff.hpp"
#include "worker/complaints.hpp"
#include "worker/outbound.hpp"
#include "worker/runtime.hpp"
#include "worker/store.hpp"

namespace billing::worker {

struct Notification {
  std::string user_id;
  std::string id;
  std::string kind;
  std::string body;
  std::int64_t attempt = 0;
};
// A row of claim_notifications(); the body is the same each time.
Notification notification_from(const std::vector<std::optional<std::string>>& row);

class Deliveries {
 public:
  explicit Deliveries(Runtime& runtime);
  // Runs for ever; does nothing while the configuration names no destination.
  void start();
  // The configuration has been read again: what a receiver has refused for good may be wanted again.
  void resume();
  // Whether something is being sent, or its result not stored yet.
  bool busy() const { return busy_; }

 private:
  using Queue = std::deque<std::vector<Notification>>;  // one user's each, in order

  boost::asio::awaitable<void> run();
  boost::asio::awaitable<bool> open();
  boost::asio::awaitable<bool> round();
  boost::asio::awaitable<void> send_all(Queue queue);
  boost::asio::awaitable<void> send_from(std::shared_ptr<Queue> queue, std::shared_ptr<const Config> config,
                                         TlsContext tls);
  boost::asio::awaitable<void> store_results();
  Json result_of(const Notification& notification, const Outbound::Answer& answer);

  Runtime& runtime_;
  Store store_;
  boost::asio::steady_timer timer_;
  Backoff reconnect_{std::chrono::milliseconds(250), std::chrono::milliseconds(5000)};
  TlsContext tls_;  // of the configuration in force
  std::size_t senders_ = 0;
  std::vector<Json> results_;
  bool busy_ = false;
  Complaints complaints_{runtime_.metrics};
};

}  // namespace billing::worker
