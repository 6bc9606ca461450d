// A whole worker: puts the parts together, runs them, reloads and ends them.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <memory>

#include "worker/api/api.hpp"
#include "worker/batcher.hpp"
#include "worker/config.hpp"
#include "worker/deliveries.hpp"
#include "worker/housekeeping.hpp"
#include "worker/listener.hpp"
#include "worker/notify.hpp"
#include "worker/operator/desk.hpp"
#include "worker/outbox.hpp"
#include "worker/pages.hpp"
#include "worker/reception.hpp"
#include "worker/reconcile/timer.hpp"
#include "worker/refetch.hpp"
#include "worker/runtime.hpp"
#include "worker/session.hpp"
#include "worker/shadow.hpp"

namespace billing::worker {

class Server {
 public:
  // Throws ConfigError.
  Server(Config config, Sources sources);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  boost::asio::io_context& io() { return runtime_.io; }

  // Listens, serves, and returns the exit code once it is over. Throws when it cannot listen.
  int run(std::chrono::seconds bind_patience);

  // Finishes what is in flight and ends; asked a second time, ends at once.
  void drain();
  // Reads the settings again. What cannot be used leaves everything as it was.
  void reload();
  // Ends at once.
  void stop(int exit_code);

 private:
  void tell_ready() const;
  void tick();
  void end_when_drained();

  Sources sources_;
  Notifier notifier_;
  Runtime runtime_;
  Batcher batcher_;
  Housekeeping housekeeping_;
  Deliveries deliveries_;
  Shadow shadow_;
  std::unique_ptr<stripe::Client> stripe_;  // only with a secret key; one rate for all who ask
  Refetch refetch_;
  Outbox outbox_;
  reconcile::Timer reconcile_;
  Pages pages_;
  api::Api api_;
  std::shared_ptr<Sessions> sessions_;
  Reception reception_;
  Listener listener_;
  std::optional<operators::Desk> desk_;  // only when the settings have a token for it
  boost::asio::steady_timer ticker_;
  Clock::time_point drain_until_{};
  Clock::time_point next_alive_{};
  int exit_code_ = 0;
};

}  // namespace billing::worker
