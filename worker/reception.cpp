// Receives the connections that bring webhooks.
#include "worker/reception.hpp"

#include <sys/resource.h>

#include "worker/event_log.hpp"
#include "worker/log.hpp"

namespace billing::worker {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

// Room for every client connection the settings allow, and for the database, logs and certificates.
void raise_descriptor_limit(std::uint64_t connections) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = static_cast<rlim_t>(connections + 256);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

Reception::Reception(Runtime& runtime, Batcher& batcher, const Pages& pages, api::Api& api,
                     std::shared_ptr<Sessions> sessions)
    : runtime_(runtime), batcher_(batcher), pages_(pages), api_(api), sessions_(std::move(sessions)) {
  raise_descriptor_limit(runtime_.config->max_connections);
}

void Reception::take(tcp::socket socket, const TlsContext& tls) {
  if (sessions_->size() >= runtime_.config->max_connections)
    turn_away(std::move(socket), static_cast<bool>(tls));
  else
    serve(std::move(socket), tls);
}

void Reception::serve(tcp::socket socket, const TlsContext& tls) {
  try {
    std::make_shared<Session>(runtime_, batcher_, pages_, api_, sessions_, Transport(std::move(socket), tls))
        ->start();
  } catch (const std::exception& error) {
    log::Line(log::Level::error, "session_failed").add("error", error.what());
  }
}

void Reception::turn_away(tcp::socket socket, bool tls) {
  const Refusal refusal =
      unavailable({"too_many_connections", "the worker has no connection left for this client",
                   "raise PG_BILLING_MAX_CONNECTIONS, or start another worker"});
  ++runtime_.metrics.received;
  ++runtime_.metrics.rejected[refusal.reason];
  boost::system::error_code ignored;
  const std::string remote = socket.remote_endpoint(ignored).address().to_string();
  log_refusal(refusal, {"", remote, "", "", {}});
  if (tls) return;
  Response response = refused(refusal);
  response.close = true;
  socket.non_blocking(true, ignored);
  // A new socket's buffer is empty: the few bytes fit, or the client does without.
  socket.write_some(asio::buffer(serialise(response)), ignored);
  socket.shutdown(tcp::socket::shutdown_send, ignored);
}

}  // namespace billing::worker
