// Accepts connections on every configured address.
#include "worker/listener.hpp"

#include <sys/resource.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <thread>

#include "worker/event_log.hpp"
#include "worker/log.hpp"
#include "worker/text.hpp"

namespace billing::worker {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr auto kQuietly = asio::as_tuple(asio::use_awaitable);
constexpr const char* kHint = "write address:port, such as 127.0.0.1:8480 or [::1]:8480";

std::vector<tcp::endpoint> endpoints_of(asio::io_context& io, const std::string& text) {
  const std::size_t colon = text.rfind(':');
  std::string host = text.substr(0, colon);
  std::uint16_t port = 0;
  const char* digits = text.c_str() + (colon == std::string::npos ? text.size() : colon + 1);
  const auto [end, bad] = std::from_chars(digits, text.c_str() + text.size(), port);
  if (colon == std::string::npos || host.empty() || bad != std::errc() || *end != '\0')
    throw ConfigError("PG_BILLING_LISTEN holds " + json_string(text) + ", which is not address:port", kHint);
  if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  boost::system::error_code error;
  std::vector<tcp::endpoint> endpoints;
  // Once, before anything is served: a look-up may take its time.
  for (const auto& entry :
       tcp::resolver(io).resolve(host, std::to_string(port), tcp::resolver::passive, error))
    endpoints.push_back(entry.endpoint());
  if (error || endpoints.empty())
    throw ConfigError("PG_BILLING_LISTEN holds " + json_string(text) + ", whose address is not known", kHint);
  return endpoints;
}

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

Listener::Listener(Runtime& runtime, Batcher& batcher, const Pages& pages, std::shared_ptr<Sessions> sessions)
    : runtime_(runtime), batcher_(batcher), pages_(pages), sessions_(std::move(sessions)) {}

void Listener::listen(std::chrono::seconds patience) {
  raise_descriptor_limit(runtime_.config->max_connections);
  const auto until = Clock::now() + patience;
  for (const std::string& item : split(runtime_.config->listen, ',')) {
    std::exception_ptr problem;
    const std::size_t before = acceptors_.size();
    for (const auto& endpoint : endpoints_of(runtime_.io, std::string(trim(item)))) {
      try {
        open(endpoint, until);
      } catch (const std::runtime_error&) {
        problem = std::current_exception();
      }
    }
    // A name may have an address that this machine cannot use: localhost without IPv6.
    if (acceptors_.size() == before) std::rethrow_exception(problem);
  }
}

void Listener::open(const tcp::endpoint& endpoint, Clock::time_point until) {
  for (;;) {
    boost::system::error_code error;
    Acceptor acceptor(runtime_.io);
    acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error && endpoint.protocol() == tcp::v6()) acceptor.set_option(asio::ip::v6_only(true), error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(1024, error);
    if (!error) {
      const auto bound = acceptor.local_endpoint(error);
      log::Line(log::Level::info, "listening")
          .add("address", bound.address().to_string())
          .add("port", static_cast<int>(bound.port()))
          .add("tls", static_cast<bool>(tls_));
      if (!tls_ && !bound.address().is_loopback())
        log::Line(log::Level::warning, "plain_http")
            .add("error", "plain HTTP is served on an address that other machines reach")
            .add("next_step", "set PG_BILLING_TLS_CERT and PG_BILLING_TLS_KEY, or let only a proxy reach it");
      acceptors_.push_back(std::move(acceptor));
      return;
    }
    if (error != asio::error::address_in_use || Clock::now() >= until)
      throw std::runtime_error("cannot listen on " + endpoint.address().to_string() + ":" +
                               std::to_string(endpoint.port()) + ": " + error.message() +
                               "; end what uses the port, or choose another with PG_BILLING_LISTEN");
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

void Listener::start() {
  for (Acceptor& acceptor : acceptors_) asio::co_spawn(runtime_.io, accept(acceptor), asio::detached);
}

void Listener::stop() {
  boost::system::error_code ignored;
  for (Acceptor& acceptor : acceptors_) acceptor.close(ignored);
}

asio::awaitable<void> Listener::accept(Acceptor& acceptor) {
  asio::steady_timer pause(runtime_.io);
  while (acceptor.is_open()) {
    auto [error, socket] = co_await acceptor.async_accept(kQuietly);
    if (!acceptor.is_open()) co_return;
    if (error) {
      // Out of descriptors or memory: give the sessions time to end some. A client that left already is no
      // error.
      if (error == asio::error::connection_aborted) continue;
      log::Line(log::Level::error, "accept_failed").add("error", error.message());
      pause.expires_after(std::chrono::milliseconds(100));
      co_await pause.async_wait(kQuietly);
      continue;
    }
    if (sessions_->size() >= runtime_.config->max_connections)
      turn_away(std::move(socket));
    else
      serve(std::move(socket));
  }
}

void Listener::serve(tcp::socket socket) {
  try {
    std::make_shared<Session>(runtime_, batcher_, pages_, sessions_, Transport(std::move(socket), tls_))
        ->start();
  } catch (const std::exception& error) {
    log::Line(log::Level::error, "session_failed").add("error", error.what());
  }
}

void Listener::turn_away(tcp::socket socket) {
  const Refusal refusal =
      unavailable({"too_many_connections", "the worker has no connection left for this client",
                   "raise PG_BILLING_MAX_CONNECTIONS, or start another worker"});
  ++runtime_.metrics.received;
  ++runtime_.metrics.rejected[refusal.reason];
  boost::system::error_code ignored;
  const std::string remote = socket.remote_endpoint(ignored).address().to_string();
  log_refusal(refusal, {"", remote, "", "", {}});
  if (tls_) return;
  Response response = refused(refusal);
  response.close = true;
  socket.non_blocking(true, ignored);
  // A new socket's buffer is empty: the few bytes fit, or the client does without.
  socket.write_some(asio::buffer(serialise(response)), ignored);
  socket.shutdown(tcp::socket::shutdown_send, ignored);
}

}  // namespace billing::worker
