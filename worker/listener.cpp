// Accepts connections on every configured address.
#include "worker/listener.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <thread>

#include "worker/config.hpp"
#include "worker/log.hpp"
#include "worker/text.hpp"

namespace billing::worker {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr auto kQuietly = asio::as_tuple(asio::use_awaitable);
constexpr const char* kHint = "write address:port, such as 127.0.0.1:8480 or [::1]:8480";

}  // namespace

Listener::Listener(asio::io_context& io, std::string setting, Plain plain, Reception reception)
    : io_(io), setting_(std::move(setting)), plain_(plain), reception_(std::move(reception)) {}

std::vector<tcp::endpoint> Listener::endpoints_of(const std::string& text) const {
  const std::size_t colon = text.rfind(':');
  std::string host = text.substr(0, colon);
  std::uint16_t port = 0;
  const char* digits = text.c_str() + (colon == std::string::npos ? text.size() : colon + 1);
  const auto [end, bad] = std::from_chars(digits, text.c_str() + text.size(), port);
  if (colon == std::string::npos || host.empty() || bad != std::errc() || *end != '\0')
    throw ConfigError(setting_ + " holds " + json_string(text) + ", which is not address:port", kHint);
  if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  boost::system::error_code error;
  std::vector<tcp::endpoint> endpoints;
  // Once, before anything is served: a look-up may take its time.
  for (const auto& entry :
       tcp::resolver(io_).resolve(host, std::to_string(port), tcp::resolver::passive, error))
    endpoints.push_back(entry.endpoint());
  if (error || endpoints.empty())
    throw ConfigError(setting_ + " holds " + json_string(text) + ", whose address is not known", kHint);
  return endpoints;
}

void Listener::listen(const std::string& addresses, std::chrono::seconds patience) {
  const auto until = Clock::now() + patience;
  for (const std::string& item : split(addresses, ',')) {
    std::exception_ptr problem;
    const std::size_t before = acceptors_.size();
    for (const auto& endpoint : endpoints_of(std::string(trim(item)))) {
      try {
        open(endpoint, until);
      } catch (const ConfigError&) {
        throw;
      } catch (const std::runtime_error&) {
        problem = std::current_exception();
      }
    }
    // A name may have an address that this machine cannot use: localhost without IPv6.
    if (acceptors_.size() == before) std::rethrow_exception(problem);
  }
}

void Listener::open(const tcp::endpoint& endpoint, Clock::time_point until) {
  if (plain_ == Plain::refused && !tls_ && !endpoint.address().is_loopback())
    throw ConfigError(setting_ + " holds " + endpoint.address().to_string() +
                          ", which other machines reach, and there is no TLS",
                      "keep to 127.0.0.1, or set PG_BILLING_TLS_CERT and PG_BILLING_TLS_KEY");
  for (;;) {
    boost::system::error_code error;
    Acceptor acceptor(io_);
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
          .add("setting", setting_)
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
                               "; end what uses the port, or choose another with " + setting_);
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

void Listener::start() {
  for (Acceptor& acceptor : acceptors_) asio::co_spawn(io_, accept(acceptor), asio::detached);
}

void Listener::stop() {
  boost::system::error_code ignored;
  for (Acceptor& acceptor : acceptors_) acceptor.close(ignored);
}

asio::awaitable<void> Listener::accept(Acceptor& acceptor) {
  asio::steady_timer pause(io_);
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
    reception_(std::move(socket), tls_);
  }
}

}  // namespace billing::worker
