// A connection of ours to somebody else's HTTP server.
#include "worker/outbound.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <charconv>

#include "worker/config.hpp"
#include "worker/text.hpp"

namespace billing::worker {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;

namespace {

constexpr auto kQuietly = asio::as_tuple(asio::use_awaitable);
// Nobody reads what the receiver says; a little is read so that the connection can be used again.
constexpr std::size_t kMaxAnswer = 64 * 1024;

bool is_address(const std::string& host) {
  boost::system::error_code error;
  asio::ip::make_address(host, error);
  return !error;
}

std::string what_went_wrong(const boost::system::error_code& error) {
  return error == beast::error::timeout ? "timed out" : error.message();
}

}  // namespace

bool Destination::is_loopback() const {
  boost::system::error_code error;
  const auto address = asio::ip::make_address(host, error);
  return error ? host == "localhost" : address.is_loopback();
}

std::optional<Destination> parse_destination(const std::string& url) {
  Destination destination;
  std::string_view rest = url;
  if (rest.starts_with("https://"))
    rest.remove_prefix(8);
  else if (rest.starts_with("http://"))
    rest.remove_prefix(7), destination.tls = false;
  else
    return std::nullopt;
  const std::size_t slash = std::min(rest.find_first_of("/?"), rest.size());
  const std::string_view authority = rest.substr(0, slash);
  destination.target = rest.substr(slash);
  if (!destination.target.starts_with('/')) destination.target.insert(0, "/");
  const std::size_t bracket = authority.starts_with('[') ? authority.find(']') : 0;
  if (bracket == std::string_view::npos) return std::nullopt;
  const std::size_t colon = authority.find(':', bracket);
  destination.host = authority.substr(0, colon);
  if (bracket > 0) destination.host = destination.host.substr(1, destination.host.size() - 2);
  destination.port = destination.tls ? "443" : "80";
  if (colon != std::string_view::npos) destination.port = authority.substr(colon + 1);
  const auto printable = [](char c) { return c > ' ' && c < 127 && c != '#'; };
  const auto in_name = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == ':';
  };
  unsigned port = 0;
  const auto [end, error] =
      std::from_chars(destination.port.data(), destination.port.data() + destination.port.size(), port);
  const bool usable = error == std::errc() && *end == '\0' && port > 0 && port < 65536 &&
                      !destination.host.empty() &&
                      std::all_of(destination.host.begin(), destination.host.end(), in_name) &&
                      std::all_of(destination.target.begin(), destination.target.end(), printable);
  return usable ? std::optional(destination) : std::nullopt;
}

TlsContext load_client_tls(const std::string& certificates) {
  auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_client);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  boost::system::error_code error;
  context->set_default_verify_paths(error);
  if (!certificates.empty()) context->load_verify_file(certificates, error);
  if (error)
    throw ConfigError("PG_BILLING_NOTIFY_CA: cannot use " + certificates + ": " + error.message(),
                      "name a PEM file of certificates that the worker's user can read");
  context->set_verify_mode(asio::ssl::verify_peer);
  return context;
}

class Outbound::Stream {
 public:
  Stream(asio::io_context& io, const TlsContext& tls) {
    if (tls)
      tls_.emplace(io, *tls);
    else
      plain_.emplace(io);
  }
  beast::tcp_stream& lowest() { return tls_ ? tls_->next_layer() : *plain_; }
  // Runs `work` with the stream that there is.
  template <typename Work>
  auto with(Work work) {
    return tls_ ? work(*tls_) : work(*plain_);
  }
  std::optional<beast::tcp_stream> plain_;
  std::optional<beast::ssl_stream<beast::tcp_stream>> tls_;
  beast::flat_buffer buffer;
};

Outbound::Outbound(asio::io_context& io, Destination destination, TlsContext tls)
    : io_(io), destination_(std::move(destination)), tls_(std::move(tls)) {}

Outbound::~Outbound() = default;

asio::awaitable<std::string> Outbound::connect(Clock::time_point until) {
  stream_.reset();
  const auto resolver = std::make_shared<tcp::resolver>(io_);
  // A name service that does not answer must not hold us longer than anything else.
  asio::steady_timer clock(io_, until);
  clock.async_wait([resolver](const boost::system::error_code& error) {
    if (!error) resolver->cancel();
  });
  const auto [unknown, found] =
      co_await resolver->async_resolve(destination_.host, destination_.port, kQuietly);
  clock.cancel();
  if (unknown) co_return "cannot look up " + destination_.host + ": " + unknown.message();
  stream_ = std::make_unique<Stream>(io_, destination_.tls ? tls_ : nullptr);
  stream_->lowest().expires_at(until);
  const auto [refused, endpoint] = co_await stream_->lowest().async_connect(found, kQuietly);
  if (refused) co_return "cannot connect: " + what_went_wrong(refused);
  boost::system::error_code ignored;
  stream_->lowest().socket().set_option(tcp::no_delay(true), ignored);
  if (!destination_.tls) co_return "";
  auto& tls = *stream_->tls_;
  if (!is_address(destination_.host))
    SSL_set_tlsext_host_name(tls.native_handle(), destination_.host.c_str());
  tls.set_verify_callback(asio::ssl::host_name_verification(destination_.host));
  const auto [untrusted] = co_await tls.async_handshake(asio::ssl::stream_base::client, kQuietly);
  if (untrusted) co_return "TLS handshake: " + what_went_wrong(untrusted);
  co_return "";
}

asio::awaitable<Outbound::Answer> Outbound::send(const Headers& headers, const std::string& body,
                                                 Clock::time_point until) {
  http::request<http::string_body> request(http::verb::post, destination_.target, 11, body);
  const bool bare = destination_.host.find(':') != std::string::npos;
  request.set(http::field::host,
              (bare ? "[" + destination_.host + "]" : destination_.host) + ":" + destination_.port);
  request.set(http::field::user_agent, "pg_billing/" PG_BILLING_VERSION);
  request.set(http::field::content_type, "application/json");
  for (const auto& [name, value] : headers) request.set(name, value);
  request.prepare_payload();
  stream_->lowest().expires_at(until);
  Stream& stream = *stream_;
  const auto [unsent, written] =
      co_await stream.with([&](auto& lower) { return http::async_write(lower, request, kQuietly); });
  if (unsent) co_return Answer{0, "cannot send: " + what_went_wrong(unsent), {}};
  http::response_parser<http::string_body> parser;
  parser.body_limit(kMaxAnswer);
  parser.header_limit(16 * 1024);
  const auto [unanswered, head] = co_await stream.with(
      [&](auto& lower) { return http::async_read_header(lower, stream.buffer, parser, kQuietly); });
  if (unanswered) co_return Answer{0, "no answer: " + what_went_wrong(unanswered), {}};
  Answer answer{static_cast<int>(parser.get().result_int()), "", {}};
  const std::string after(parser.get()[http::field::retry_after]);
  std::uint32_t seconds = 0;
  const auto [end, not_a_number] = std::from_chars(after.data(), after.data() + after.size(), seconds);
  if (!after.empty() && not_a_number == std::errc() && end == after.data() + after.size())
    answer.retry_after = std::chrono::seconds(std::min<std::uint32_t>(seconds, 86400));
  // The status is what counts; without the rest the connection is of no further use.
  const auto [broken, rest] = co_await stream.with(
      [&](auto& lower) { return http::async_read(lower, stream.buffer, parser, kQuietly); });
  if (broken || !parser.get().keep_alive()) stream_.reset();
  co_return answer;
}

asio::awaitable<Outbound::Answer> Outbound::post(const Headers& headers, const std::string& body,
                                                 std::chrono::milliseconds limit) {
  const auto until = Clock::now() + limit;
  // A connection kept from before may have been closed by the other side in the meantime: once more, then.
  const bool kept = stream_ != nullptr;
  if (kept) {
    Answer answer = co_await send(headers, body, until);
    if (answer.status != 0 || Clock::now() >= until) {
      if (answer.status == 0) stream_.reset();
      co_return answer;
    }
  }
  if (std::string problem = co_await connect(until); !problem.empty()) {
    stream_.reset();
    co_return Answer{0, std::move(problem), {}};
  }
  Answer answer = co_await send(headers, body, until);
  if (answer.status == 0) stream_.reset();
  co_return answer;
}

}  // namespace billing::worker
