// A client's connection, plain or TLS.
#include "worker/transport.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "worker/config.hpp"

namespace billing::worker {

namespace asio = boost::asio;

namespace {
constexpr auto kQuietly = asio::as_tuple(asio::use_awaitable);
}

TlsContext load_tls(const std::string& certificate, const std::string& key) {
  auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  boost::system::error_code error;
  context->use_certificate_chain_file(certificate, error);
  if (error)
    throw ConfigError("PG_BILLING_TLS_CERT: cannot use " + certificate + ": " + error.message(),
                      "name a PEM file with the certificate and its chain that the worker's user can read");
  context->use_private_key_file(key, asio::ssl::context::pem, error);
  if (error || SSL_CTX_check_private_key(context->native_handle()) != 1)
    throw ConfigError(
        "PG_BILLING_TLS_KEY: cannot use " + key + (error ? ": " + error.message() : ""),
        "name the PEM file of the certificate's own private key, readable by the worker's user");
  return context;
}

Transport::Transport(asio::ip::tcp::socket socket, TlsContext context) : context_(std::move(context)) {
  boost::system::error_code ignored;
  const auto endpoint = socket.remote_endpoint(ignored);
  remote_ = endpoint.address().to_string();
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  if (context_)
    tls_.emplace(std::move(socket), *context_);
  else
    plain_.emplace(std::move(socket));
}

asio::ip::tcp::socket& Transport::socket() { return tls_ ? tls_->next_layer() : *plain_; }

std::string Transport::remote() const { return remote_; }

asio::awaitable<bool> Transport::handshake() {
  if (!tls_) co_return true;
  const auto [error] = co_await tls_->async_handshake(asio::ssl::stream_base::server, kQuietly);
  co_return !error;
}

asio::awaitable<bool> Transport::read_some(std::string& buffer, std::size_t limit) {
  const std::size_t size = buffer.size();
  buffer.resize(size + limit);
  const auto space = asio::buffer(buffer.data() + size, limit);
  boost::system::error_code error;
  std::size_t count = 0;
  if (tls_)
    std::tie(error, count) = co_await tls_->async_read_some(space, kQuietly);
  else
    std::tie(error, count) = co_await plain_->async_read_some(space, kQuietly);
  buffer.resize(size + count);
  co_return !error && count > 0;
}

asio::awaitable<bool> Transport::read_raw(std::string& buffer, std::size_t limit) {
  buffer.resize(limit);
  const auto [error, count] = co_await socket().async_read_some(asio::buffer(buffer), kQuietly);
  buffer.resize(count);
  co_return !error && count > 0;
}

asio::awaitable<bool> Transport::write(std::string_view data) {
  const auto bytes = asio::buffer(data);
  boost::system::error_code error;
  std::size_t count = 0;
  if (tls_)
    std::tie(error, count) = co_await asio::async_write(*tls_, bytes, kQuietly);
  else
    std::tie(error, count) = co_await asio::async_write(*plain_, bytes, kQuietly);
  co_return !error;
}

asio::awaitable<void> Transport::finish() {
  if (tls_) co_await tls_->async_shutdown(kQuietly);
  boost::system::error_code ignored;
  socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
}

void Transport::cancel() {
  boost::system::error_code ignored;
  socket().cancel(ignored);
}

void Transport::close() {
  boost::system::error_code ignored;
  socket().close(ignored);
}

}  // namespace billing::worker
