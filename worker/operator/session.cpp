// One connection to the operator's page.
#include "worker/operator/session.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "worker/log.hpp"

namespace billing::worker::operators {

namespace asio = boost::asio;
namespace http = boost::beast::http;

namespace {

constexpr std::size_t kReadBytes = 16 * 1024;
constexpr std::uint32_t kHeadBytes = 16 * 1024;
constexpr std::uint64_t kBodyBytes = 64 * 1024;
constexpr auto kReadLimit = std::chrono::seconds(10);
constexpr std::size_t kLingerBytes = 1024 * 1024;
constexpr auto kWriteLimit = std::chrono::seconds(10);

using Parser = http::request_parser<http::string_body>;

// Ends what a transport waits for, once it takes too long.
class Deadline {
 public:
  Deadline(asio::io_context& io, const std::shared_ptr<Transport>& transport, std::chrono::seconds limit)
      : timer_(io, limit) {
    timer_.async_wait([held = std::weak_ptr<Transport>(transport)](const boost::system::error_code& error) {
      if (const auto transport = held.lock(); transport && !error) transport->cancel();
    });
  }
  bool passed() const { return timer_.expiry() <= std::chrono::steady_clock::now(); }

 private:
  asio::steady_timer timer_;
};

// The status of the refusal, or 0 once the request is whole; nothing when there is nobody to answer.
asio::awaitable<std::optional<int>> read(asio::io_context& io, const std::shared_ptr<Transport>& transport,
                                         Parser& parser) {
  const Deadline deadline(io, transport, kReadLimit);
  std::string input;
  while (!parser.is_done()) {
    const bool arrived = co_await transport->read_some(input, kReadBytes);
    if (!arrived) {
      if (deadline.passed() && parser.got_some()) co_return 408;
      co_return std::nullopt;
    }
    boost::system::error_code error;
    std::size_t used = 1;
    while (!input.empty() && used > 0 && !error && !parser.is_done()) {
      used = parser.put(asio::buffer(input), error);
      input.erase(0, used);
    }
    if (error == http::error::header_limit) co_return 431;
    if (error == http::error::body_limit) co_return 413;
    if (error && error != http::error::need_more) co_return 400;
  }
  co_return 0;
}

std::string field(const http::request<http::string_body>& message, http::field name) {
  const auto value = message[name];
  return {value.data(), value.size()};
}

Request request_of(const http::request<http::string_body>& message) {
  Request request;
  const auto method = message.method_string();
  const auto target = message.target();
  const auto site = message["Sec-Fetch-Site"];
  request.method.assign(method.data(), method.size());
  request.head = request.method == "HEAD";
  if (request.head) request.method = "GET";
  request.target.assign(target.data(), target.size());
  const std::size_t question = request.target.find('?');
  request.path = request.target.substr(0, question);
  if (question != std::string::npos)
    request.query = Form(std::string_view(request.target).substr(question + 1));
  request.form = Form(message.body());
  // More than one is none.
  if (message.count(http::field::host) == 1) request.host = field(message, http::field::host);
  request.origin = field(message, http::field::origin);
  request.fetch_site.assign(site.data(), site.size());
  request.authorization = field(message, http::field::authorization);
  request.cookie = field(message, http::field::cookie);
  return request;
}

Response refusal(int status) {
  Response response = refused({status, "bad_request", "the request is not one that this page takes",
                               "send a well-formed HTTP/1.1 request of at most 64 kB", ""});
  return response;
}

// Closing while the client still sends would make its kernel throw our answer away.
asio::awaitable<void> linger(Transport& transport) {
  std::string ignored;
  for (std::size_t total = 0; total < kLingerBytes; total += ignored.size()) {
    ignored.clear();
    const bool more = co_await transport.read_raw(ignored, kReadBytes);
    if (!more) break;
  }
}

asio::awaitable<void> run(asio::io_context& io, std::shared_ptr<Transport> transport, Answerer answer,
                          Request known, std::shared_ptr<void>) {
  {
    const Deadline deadline(io, transport, kReadLimit);
    const bool secure = co_await transport->handshake();
    if (!secure) co_return;
  }
  Parser parser;
  parser.header_limit(kHeadBytes);
  parser.body_limit(kBodyBytes);
  parser.eager(true);
  const std::optional<int> status = co_await read(io, transport, parser);
  if (!status) co_return;
  Response response;
  if (*status == 0) {
    Request request = request_of(parser.get());
    request.remote = known.remote;
    request.local = known.local;
    request.port = known.port;
    request.tls = known.tls;
    response = co_await answer(std::move(request));
  } else {
    response = refusal(*status);
  }
  // One request each: nothing that follows can be mistaken for a part of it, or for somebody else's.
  response.close = true;
  const Deadline deadline(io, transport, kWriteLimit);
  const std::string bytes = serialise(response);
  const bool written = co_await transport->write(bytes);
  if (written) co_await transport->finish();
  if (written && *status != 0) co_await linger(*transport);
}

}  // namespace

void start_session(asio::io_context& io, asio::ip::tcp::socket socket, const TlsContext& tls, Answerer answer,
                   std::shared_ptr<void> place) {
  Request known;
  boost::system::error_code ignored;
  const auto local = socket.local_endpoint(ignored);
  known.local = local.address().to_string();
  known.port = std::to_string(local.port());
  known.tls = static_cast<bool>(tls);
  auto transport = std::make_shared<Transport>(std::move(socket), tls);
  known.remote = transport->remote();
  asio::co_spawn(io, run(io, std::move(transport), std::move(answer), std::move(known), std::move(place)),
                 [](std::exception_ptr problem) {
                   try {
                     if (problem) std::rethrow_exception(problem);
                   } catch (const std::exception& error) {
                     log::Line(log::Level::error, "operator_session_failed").add("error", error.what());
                   }
                 });
}

}  // namespace billing::worker::operators
