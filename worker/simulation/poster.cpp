#include "worker/simulation/poster.hpp"

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <exception>
#include <iomanip>
#include <ostream>
#include <queue>

#include "core/signature.hpp"
#include "worker/config.hpp"
#include "worker/text.hpp"

namespace billing::simulation {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::chrono::seconds kTimeout{30};
constexpr milliseconds kFirstRetry{50};
constexpr milliseconds kLastRetry{5000};
constexpr std::size_t kMaxWaiting = 1000;  // failed events, before new ones have to wait

struct Job {
  Clock::time_point due;
  Clock::time_point first;
  int attempts = 0;
  Emitted event;
  bool operator>(const Job& other) const { return due > other.due; }
};

class Poster {
 public:
  Poster(const PostOptions& options, const std::function<std::optional<Emitted>()>& source)
      : options_(options), source_(source), target_(parse_url(options.url)) {}

  PostReport run() {
    resolve();
    const Clock::time_point begin = Clock::now();
    slot_ = begin;
    for (std::size_t i = 0; i < options_.connections; ++i)
      asio::co_spawn(io_, serve(), [this](const std::exception_ptr& failure) {
        if (!failure) return;
        failure_ = failure;
        io_.stop();
      });
    io_.run();
    if (failure_) std::rethrow_exception(failure_);
    report_.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    return std::move(report_);
  }

 private:
  void resolve() {
    tcp::resolver resolver(io_);
    boost::system::error_code error;
    const auto found = resolver.resolve(target_.host, target_.port, error);
    if (error)
      throw worker::ConfigError("--post: cannot find " + target_.host + ": " + error.message(),
                                "check the name");
    for (const auto& entry : found) {
      if (!options_.allow_remote && !entry.endpoint().address().is_loopback())
        throw worker::ConfigError(
            "--post: " + entry.endpoint().address().to_string() + " is another machine",
            "these events are made up: use 127.0.0.1, or --allow-remote when you are sure");
      endpoints_.push_back(entry.endpoint());
    }
  }

  // One connection, until there is nothing left to send.
  asio::awaitable<void> serve() {
    beast::tcp_stream stream(io_);
    beast::flat_buffer buffer;
    while (std::optional<Job> job = co_await next_job()) {
      const Clock::time_point begin = Clock::now();
      const std::string failure = co_await attempt(stream, buffer, job->event.payload);
      --under_way_;
      if (failure.empty()) {
        ++report_.acknowledged;
        if (options_.acknowledged) options_.acknowledged(job->event);
        report_.latencies.push_back(std::chrono::duration<float, std::milli>(Clock::now() - begin).count());
        continue;
      }
      ++report_.failures[failure];
      send_again(std::move(*job));
    }
  }

  asio::awaitable<std::optional<Job>> next_job() {
    asio::steady_timer timer(io_);
    for (;;) {
      const Clock::time_point now = Clock::now();
      if (!again_.empty() && again_.top().due <= now) {
        Job job = again_.top();
        again_.pop();
        ++under_way_;
        ++report_.retried;
        co_return job;
      }
      if (!exhausted_ && again_.size() < kMaxWaiting) {
        if (std::optional<Emitted> event = source_()) {
          ++under_way_;
          const Clock::time_point slot = next_slot(now);
          if (slot > now) {
            timer.expires_at(slot);
            co_await timer.async_wait(asio::use_awaitable);
          }
          co_return Job{now, Clock::now(), 0, std::move(*event)};
        }
        exhausted_ = true;
      }
      if (exhausted_ && again_.empty() && under_way_ == 0) co_return std::nullopt;
      timer.expires_after(milliseconds(5));
      co_await timer.async_wait(asio::use_awaitable);
    }
  }

  Clock::time_point next_slot(Clock::time_point now) {
    if (options_.rate <= 0) return now;
    slot_ = std::max(slot_, now);
    const Clock::time_point mine = slot_;
    slot_ += std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(1.0 / options_.rate));
    return mine;
  }

  void send_again(Job job) {
    const Clock::time_point now = Clock::now();
    if (now - job.first > options_.give_up) {
      ++report_.given_up;
      return;
    }
    job.due = now + std::min(kLastRetry, kFirstRetry * (1 << std::min(job.attempts, 10)));
    ++job.attempts;
    again_.push(std::move(job));
  }

  // Returns what went wrong, "" when it was acknowledged. Each attempt is signed anew.
  asio::awaitable<std::string> attempt(beast::tcp_stream& stream, beast::flat_buffer& buffer,
                                       const std::string& payload) {
    ++report_.sent;
    boost::system::error_code error;
    stream.expires_after(kTimeout);
    if (!stream.socket().is_open()) {
      buffer.clear();
      co_await stream.async_connect(endpoints_, asio::redirect_error(asio::use_awaitable, error));
      if (error) co_return closed(stream, "cannot connect");
      stream.socket().set_option(tcp::no_delay(true), error);
    }
    const auto now =
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch());
    http::request<http::string_body> request(http::verb::post, target_.path, 11, payload);
    request.set(http::field::host, target_.host + ":" + target_.port);
    request.set(http::field::user_agent, "Stripe/1.0 (+https://stripe.com/docs/webhooks)");
    request.set(http::field::content_type, "application/json; charset=utf-8");
    request.set("Stripe-Signature", sign(payload, options_.secret, now.count()));
    request.prepare_payload();
    co_await http::async_write(stream, request, asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return closed(stream, "connection broken");
    http::response<http::string_body> response;
    co_await http::async_read(stream, buffer, response, asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return closed(stream, error == beast::error::timeout ? "timed out" : "no answer");
    if (!response.keep_alive()) closed(stream, "");
    if (response.result_int() / 100 == 2) co_return "";
    co_return "status " + std::to_string(response.result_int());
  }

  static std::string closed(beast::tcp_stream& stream, const char* why) {
    boost::system::error_code ignored;
    stream.socket().close(ignored);
    return why;
  }

  const PostOptions& options_;
  const std::function<std::optional<Emitted>()>& source_;
  PostTarget target_;
  asio::io_context io_{1};
  std::vector<tcp::endpoint> endpoints_;
  std::priority_queue<Job, std::vector<Job>, std::greater<>> again_;
  Clock::time_point slot_;
  std::size_t under_way_ = 0;
  bool exhausted_ = false;
  std::exception_ptr failure_;
  PostReport report_;
};

}  // namespace

PostTarget parse_url(const std::string& url) {
  constexpr std::string_view kScheme = "http://";
  const auto refuse = [&](const std::string& hint) {
    throw worker::ConfigError("--post is " + worker::json_string(url) + ", not an http:// URL", hint);
  };
  if (!url.starts_with(kScheme)) refuse("write http://127.0.0.1:8480/stripe/webhook");
  const std::string rest = url.substr(kScheme.size());
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  const std::string authority = rest.substr(0, slash);
  const std::size_t bracket = authority.starts_with('[') ? authority.find(']') : 0;
  if (bracket == std::string::npos) refuse("an IPv6 address stands in brackets: http://[::1]:8480/");
  const std::size_t colon = authority.find(':', bracket);
  PostTarget target{authority.substr(0, colon), "80", slash < rest.size() ? rest.substr(slash) : "/"};
  if (colon != std::string::npos) target.port = authority.substr(colon + 1);
  if (bracket > 0) target.host = target.host.substr(1, target.host.size() - 2);
  const bool numeric = !target.port.empty() && std::all_of(target.port.begin(), target.port.end(),
                                                           [](char c) { return c >= '0' && c <= '9'; });
  if (target.host.empty() || !numeric || target.path.find_first_of(" \r\n") != std::string::npos)
    refuse("write http://127.0.0.1:8480/stripe/webhook");
  return target;
}

PostReport post(const PostOptions& options, const std::function<std::optional<Emitted>()>& source) {
  return Poster(options, source).run();
}

void print(std::ostream& out, PostReport report) {
  std::vector<float>& latencies = report.latencies;
  std::sort(latencies.begin(), latencies.end());
  const auto percentile = [&](double share) {
    if (latencies.empty()) return 0.0F;
    return latencies[static_cast<std::size_t>(share * static_cast<double>(latencies.size() - 1))];
  };
  out << std::fixed << std::setprecision(2);
  out << "sent " << report.sent << "\nacknowledged " << report.acknowledged << "\nretried " << report.retried
      << "\ngiven_up " << report.given_up << '\n';
  for (const auto& [name, count] : report.failures) out << "failed: " << name << ' ' << count << '\n';
  out << "seconds " << report.seconds << "\nper_second "
      << (report.seconds > 0 ? static_cast<double>(report.acknowledged) / report.seconds : 0.0) << '\n';
  out << "latency_ms p50 " << percentile(0.5) << " p90 " << percentile(0.9) << " p99 " << percentile(0.99)
      << " max " << percentile(1) << '\n';
}

}  // namespace billing::simulation
