// One client connection.
#include "worker/session.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <utility>

#include "worker/body.hpp"
#include "worker/event_log.hpp"
#include "worker/log.hpp"
#include "worker/text.hpp"

namespace billing::worker {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kReadBytes = 16 * 1024;
constexpr std::size_t kBodyReadBytes = 64 * 1024;
constexpr std::size_t kLingerBytes = 8 * 1024 * 1024;
constexpr auto kLinger = std::chrono::seconds(2);
constexpr auto kWriteLimit = std::chrono::seconds(10);

std::int64_t unix_time() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

void Sessions::sweep(Clock::time_point now) {
  for (Session* session : open_) {
    if (session->deadline_ > now) continue;
    session->late_ = true;
    session->transport_.cancel();
  }
}

void Sessions::end_idle() {
  for (Session* session : open_)
    if (session->idle_) session->transport_.cancel();
}

Session::Session(Runtime& runtime, Batcher& batcher, const Pages& pages, api::Api& api,
                 std::shared_ptr<Sessions> sessions, Transport transport)
    : runtime_(runtime),
      batcher_(batcher),
      pages_(pages),
      api_(api),
      sessions_(std::move(sessions)),
      config_(runtime.config),
      transport_(std::move(transport)),
      deadline_(Clock::now() + config_->header_timeout) {
  sessions_->open_.insert(this);
}

Session::~Session() {
  release();
  sessions_->open_.erase(this);
}

void Session::start() {
  asio::co_spawn(
      runtime_.io, [self = shared_from_this()] { return self->run(); }, asio::detached);
}

asio::awaitable<void> Session::run() {
  try {
    const bool ready = co_await transport_.handshake();
    if (!ready) co_return;
    for (bool more = true; more;) more = co_await serve_one();
    co_await part();
  } catch (const std::exception& error) {
    log::Line(log::Level::error, "session_failed")
        .add("error", error.what())
        .add("remote", transport_.remote());
  }
  transport_.close();
}

// True when another request may follow.
asio::awaitable<bool> Session::serve_one() {
  const bool begun = co_await first_byte();
  if (!begun) co_return false;
  config_ = runtime_.config;
  Exchange exchange;
  exchange.started = Clock::now();
  exchange.deadline = exchange.started + config_->request_timeout;
  const bool readable = co_await read_head(exchange);
  if (readable) co_await handle(exchange);
  release();
  if (!exchange.is_page) {
    ++runtime_.metrics.received;
    runtime_.metrics.request_seconds.observe(Clock::now() - exchange.started);
  }
  if (exchange.gone) co_return false;
  const bool more = co_await respond(exchange);
  co_return more;
}

// Between two requests: no request, no refusal, and nothing to finish when the worker ends.
asio::awaitable<bool> Session::first_byte() {
  const auto limit = first_ ? config_->header_timeout : config_->idle_timeout;
  const auto deadline = Clock::now() + limit;
  for (;;) {
    // Some clients send an empty line behind a body.
    while (input_.starts_with("\r\n")) input_.erase(0, 2);
    if (runtime_.draining) co_return false;
    if (!input_.empty() && input_ != "\r") break;
    idle_ = true;
    const bool arrived = co_await read_more(deadline, kReadBytes);
    idle_ = false;
    if (!arrived) co_return false;
  }
  first_ = false;
  co_return true;
}

asio::awaitable<bool> Session::read_more(Clock::time_point deadline, std::size_t limit) {
  deadline_ = deadline;
  late_ = Clock::now() >= deadline;
  if (late_) co_return false;
  const bool arrived = co_await transport_.read_some(input_, limit);
  if (arrived) late_ = false;
  co_return arrived;
}

asio::awaitable<bool> Session::read_head(Exchange& exchange) {
  HeadScan scan;
  const auto deadline = std::min(exchange.started + config_->header_timeout, exchange.deadline);
  for (;;) {
    if (const auto end = scan.advance(input_)) {
      const auto refusal = parse_head(std::string_view(input_).substr(0, *end), exchange.head);
      input_.erase(0, *end);
      if (!refusal) co_return true;
      exchange.body_unread = true;
      refuse(exchange, *refusal);
      co_return false;
    }
    exchange.body_unread = true;
    if (scan.refusal()) {
      refuse(exchange, *scan.refusal());
      co_return false;
    }
    const bool arrived = co_await read_more(deadline, kReadBytes);
    if (!arrived) {
      stopped(exchange, "header_timeout", "the header did not arrive in time");
      co_return false;
    }
    exchange.body_unread = false;
  }
}

asio::awaitable<void> Session::handle(Exchange& exchange) {
  exchange.body_unread = exchange.head.has_body();
  exchange.call = api_.find(exchange.head.path);
  if (exchange.call != nullptr) {
    exchange.is_page = true;
    co_await take_call(exchange);
    co_return;
  }
  const auto where = route(exchange.head, config_->endpoints);
  if (const auto* refusal = std::get_if<Refusal>(&where)) {
    refuse(exchange, *refusal);
  } else if (const auto* page = std::get_if<Page>(&where)) {
    exchange.is_page = true;
    exchange.response = co_await pages_.render(*page, sessions_->size());
  } else {
    co_await take_webhook(exchange, *std::get<const Endpoint*>(where));
  }
}

asio::awaitable<bool> Session::read_body(Exchange& exchange, std::size_t limit, std::string& body) {
  const auto deadline = std::min(Clock::now() + config_->body_timeout, exchange.deadline);
  BodyReader reader(exchange.head, limit);
  bool invite = exchange.head.expects_continue;
  for (;;) {
    const auto progress = reader.feed(input_);
    if (progress == BodyReader::Progress::refused) {
      refuse(exchange, reader.refusal());
      co_return false;
    }
    if (!hold(reader.size() + input_.size())) {
      refuse(exchange, unavailable({"queue_full", "too many bytes of request bodies are in memory",
                                    "look at what slows the database down; Stripe sends the event again"}));
      co_return false;
    }
    if (progress == BodyReader::Progress::done) break;
    // Only now: who announces too much has been refused.
    if (std::exchange(invite, false) && reader.size() == 0) {
      deadline_ = deadline;
      co_await transport_.write("HTTP/1.1 100 Continue\r\n\r\n");
    }
    const bool arrived = co_await read_more(deadline, kBodyReadBytes);
    if (!arrived) {
      stopped(exchange, "body_timeout", "the body did not arrive in time");
      co_return false;
    }
  }
  exchange.body_unread = false;
  body = reader.take();
  co_return true;
}

asio::awaitable<void> Session::take_webhook(Exchange& exchange, const Endpoint& endpoint) {
  std::string body;
  const bool complete = co_await read_body(exchange, config_->max_body, body);
  if (!complete) co_return;
  auto judged = judge(endpoint, exchange.head.signature, std::move(body), unix_time());
  if (const auto* refusal = std::get_if<Refusal>(&judged)) {
    refuse(exchange, *refusal);
    co_return;
  }
  Webhook& webhook = std::get<Webhook>(judged);
  exchange.event_id = webhook.event_id;
  exchange.event_type = webhook.event_type;
  log_verified(webhook);
  // From here on the batcher keeps the time, so that a late event leaves its queue.
  deadline_ = Clock::time_point::max();
  const Verdict verdict = co_await batcher_.submit(std::move(webhook), exchange.started, exchange.deadline);
  if (verdict.refusal) {
    refuse(exchange, *verdict.refusal);
    co_return;
  }
  ++runtime_.metrics.acknowledged;
  exchange.response.body = "{\"received\":true,\"outcome\":" + json_string(verdict.result.outcome) + "}\n";
}

asio::awaitable<void> Session::take_call(Exchange& exchange) {
  std::string body;
  const bool complete = co_await read_body(exchange, api::Api::kMaxBody, body);
  if (!complete) co_return;
  // From here on whoever answers keeps the time.
  deadline_ = Clock::time_point::max();
  api::Request request = call_of(exchange);
  request.body = std::move(body);
  exchange.response = co_await api_.answer(std::move(request));
}

api::Request Session::call_of(const Exchange& exchange) const {
  const RequestHead& head = exchange.head;
  api::Request request;
  request.route = exchange.call;
  request.method = head.method;
  request.query = operators::Form(head.query);
  request.content_type = head.content_type;
  request.origin = head.origin;
  request.authorization = head.authorization;
  request.requested_method = head.requested_method;
  request.remote = transport_.remote();
  return request;
}

void Session::stopped(Exchange& exchange, const char* reason, const char* what) {
  exchange.gone = !late_;
  if (late_)
    refuse(exchange, {408, reason, what, "look at the network and at the proxy in front of the worker", ""});
  else
    refuse(exchange, {400, "client_disconnected", "the client left in the middle of its request",
                      "look at the network and at the proxy in front of the worker", ""});
}

void Session::refuse(Exchange& exchange, const Refusal& refusal) {
  if (exchange.call != nullptr) {
    exchange.response = api_.refuse(refusal, call_of(exchange));
    return;
  }
  ++runtime_.metrics.rejected[refusal.reason];
  exchange.response = refused(refusal);
  const std::string remote = transport_.remote();
  log_refusal(refusal, {exchange.head.path, remote, exchange.event_id, exchange.event_type,
                        Clock::now() - exchange.started});
}

asio::awaitable<bool> Session::respond(Exchange& exchange) {
  Response& response = exchange.response;
  // What was not read cannot be told from the next request.
  response.close = exchange.body_unread || !exchange.head.keep_alive || runtime_.draining;
  response.omit_body = exchange.head.method == "HEAD";
  linger_ = exchange.body_unread || !input_.empty();
  deadline_ = Clock::now() + kWriteLimit;
  const std::string bytes = serialise(response);
  const bool written = co_await transport_.write(bytes);
  if (!written) linger_ = false;
  co_return written && !response.close;
}

// Closing while the client still sends would make its kernel throw our answer away.
asio::awaitable<void> Session::part() {
  deadline_ = Clock::now() + kLinger;
  co_await transport_.finish();
  if (!linger_) co_return;
  std::string ignored;
  for (std::size_t total = 0; total < kLingerBytes; total += ignored.size()) {
    ignored.clear();
    const bool more = co_await transport_.read_raw(ignored, kBodyReadBytes);
    if (!more) break;
  }
}

bool Session::hold(std::size_t bytes) {
  if (bytes <= held_) return true;
  if (!runtime_.bodies.take(bytes - held_, config_->queue_bytes)) return false;
  held_ = bytes;
  return true;
}

void Session::release() {
  runtime_.bodies.give_back(held_);
  held_ = 0;
}

}  // namespace billing::worker
