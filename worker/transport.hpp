// A client's connection, plain or TLS: bytes in, bytes out.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace billing::worker {

using TlsContext = std::shared_ptr<boost::asio::ssl::context>;

// Throws ConfigError.
TlsContext load_tls(const std::string& certificate, const std::string& key);

class Transport {
 public:
  // Plain when there is no context.
  Transport(boost::asio::ip::tcp::socket socket, TlsContext context);

  boost::asio::awaitable<bool> handshake();
  // Appends what arrives to `buffer`, at most `limit` bytes. False at the end, after cancel() and on an
  // error.
  boost::asio::awaitable<bool> read_some(std::string& buffer, std::size_t limit);
  // The same below TLS: what comes after finish() is only thrown away.
  boost::asio::awaitable<bool> read_raw(std::string& buffer, std::size_t limit);
  boost::asio::awaitable<bool> write(std::string_view data);
  // Says that nothing more will be sent.
  boost::asio::awaitable<void> finish();

  // Ends what is being waited for; the connection stays usable.
  void cancel();
  void close();
  std::string remote() const;

 private:
  boost::asio::ip::tcp::socket& socket();

  TlsContext context_;  // outlives the stream made from it, also when a reload replaces it
  std::optional<boost::asio::ip::tcp::socket> plain_;
  std::optional<boost::asio::ssl::stream<boost::asio::ip::tcp::socket>> tls_;
  std::string remote_;
};

}  // namespace billing::worker
