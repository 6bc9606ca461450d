// A load generator for webhooks that costs little beside what it measures: HTTP/1.1 over kept connections,
// one thread, every request signed and ready in memory before the clock starts. The same for every receiver.
//
// Closed loop: each connection sends its next event when the last one is answered. Open loop (--rate): events
// are due at fixed times, whatever the receiver does, and their latency counts from then, not from when a
// connection was free.
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <deque>
#include <fstream>
#include <iostream>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "core/signature.hpp"

namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr char kUsage[] =
    "load --url URL --events FILE --secret SECRET [--connections 32] [--seconds 4] [--count N] [--rate N]\n"
    "     [--generation N]\n"
    "  --count       at most so many events, of those in the file (one JSON document a line)\n"
    "  --rate        events a second, at random times; without it, as fast as they are answered\n"
    "  --generation  makes other events of the same file: g000 in every name becomes, for 12, g012\n";

struct Options {
  std::string host, port = "80", path = "/", events, secret;
  std::size_t connections = 32, count = ~std::size_t{0};
  double seconds = 4, rate = 0;
  int generation = 0;
};

template <class Number>
Number number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0)
    throw std::runtime_error("not a number: " + std::string(text));
  return value;
}

void take_url(Options& options, std::string_view url) {
  if (!url.starts_with("http://")) throw std::runtime_error("the URL must begin with http://");
  url.remove_prefix(7);
  if (const auto slash = url.find('/'); slash != url.npos) {
    options.path = url.substr(slash);
    url = url.substr(0, slash);
  }
  if (const auto colon = url.find(':'); colon != url.npos) {
    options.port = url.substr(colon + 1);
    url = url.substr(0, colon);
  }
  options.host = url;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const std::string_view value = argv[i + 1];
    if (name == "--url")
      take_url(options, value);
    else if (name == "--events")
      options.events = value;
    else if (name == "--secret")
      options.secret = value;
    else if (name == "--connections")
      options.connections = std::max<std::size_t>(1, number<std::size_t>(value));
    else if (name == "--count")
      options.count = number<std::size_t>(value);
    else if (name == "--seconds")
      options.seconds = number<double>(value);
    else if (name == "--rate")
      options.rate = number<double>(value);
    else if (name == "--generation")
      options.generation = number<int>(value);
    else
      throw std::runtime_error("unknown option " + std::string(name));
  }
  if (argc % 2 == 0 || options.host.empty() || options.events.empty() || options.secret.empty())
    throw std::runtime_error("--url, --events and --secret are needed");
  return options;
}

// Every request as the bytes that are sent.
std::vector<std::string> requests_of(const Options& options) {
  std::ifstream file(options.events);
  if (!file) throw std::runtime_error("cannot read " + options.events);
  char name[16];
  std::snprintf(name, sizeof name, "g%03d", options.generation % 1000);
  const std::int64_t now = std::time(nullptr);
  std::vector<std::string> requests;
  for (std::string line; requests.size() < options.count && std::getline(file, line);) {
    for (auto at = line.find("g000"); at != line.npos; at = line.find("g000", at + 4))
      line.replace(at, 4, name);
    requests.push_back(
        "POST " + options.path + " HTTP/1.1\r\nHost: " + options.host +
        "\r\nUser-Agent: Stripe/1.0\r\nContent-Type: application/json; charset=utf-8\r\nStripe-Signature: " +
        billing::sign(line, options.secret, now) + "\r\nContent-Length: " + std::to_string(line.size()) +
        "\r\n\r\n" + line);
  }
  if (requests.empty()) throw std::runtime_error(options.events + " has no events");
  return requests;
}

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error(what + ": " + std::strerror(errno));
}

int connect_to(const Options& options) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(options.host.c_str(), options.port.c_str(), &hints, &found) != 0 || !found)
    throw std::runtime_error("unknown host " + options.host);
  const int handle = socket(found->ai_family, SOCK_STREAM, 0);
  const int failed = handle < 0 ? -1 : connect(handle, found->ai_addr, found->ai_addrlen);
  freeaddrinfo(found);
  if (failed) fail("cannot connect to " + options.host + ":" + options.port);
  const int yes = 1;
  setsockopt(handle, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  return handle;
}

struct Connection {
  int handle = -1;
  Clock::time_point since;  // when what is under way was sent, or due
  std::string answer;
};

class Load {
 public:
  Load(const Options& options, std::vector<std::string> requests)
      : options_(options),
        requests_(std::move(requests)),
        poll_(epoll_create1(0)),
        connections_(options.connections) {
    if (poll_ < 0) fail("epoll_create1");
    latencies_.reserve(requests_.size());
    std::mt19937_64 chance(1);
    std::exponential_distribution<double> gap(options_.rate > 0 ? options_.rate : 1);
    for (double at = 0; due_.size() < requests_.size(); at += gap(chance)) due_.push_back(at);
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      connections_[i].handle = connect_to(options_);
      epoll_event wanted{.events = EPOLLIN, .data = {.u64 = i}};
      if (epoll_ctl(poll_, EPOLL_CTL_ADD, connections_[i].handle, &wanted)) fail("epoll_ctl");
      free_.push_back(i);
    }
  }

  void run() {
    start_ = Clock::now();
    end_ = start_ + std::chrono::duration_cast<Clock::duration>(Seconds(options_.seconds));
    for (;;) {
      send_due(Clock::now());
      if (free_.size() == connections_.size() && !more(Clock::now())) break;
      epoll_event ready[64];
      const timespec time = patience();
      const int count = epoll_pwait2(poll_, ready, 64, &time, nullptr);
      if (count < 0 && errno != EINTR) fail("epoll_wait");
      for (int i = 0; i < count; ++i) receive(ready[i].data.u64);
      if (Clock::now() > end_ + std::chrono::seconds(30))
        throw std::runtime_error("answers are missing after 30 s");
    }
    finish_ = Clock::now();
  }

  void print() {
    std::sort(latencies_.begin(), latencies_.end());
    const auto at = [&](double share) {
      return 1000 *
             latencies_[std::min(latencies_.size() - 1, static_cast<std::size_t>(share * latencies_.size()))];
    };
    const double seconds = Seconds(finish_ - start_).count();
    std::printf(
        "{\"count\": %zu, \"seconds\": %.4f, \"rate\": %.2f, \"p50\": %.4f, \"p99\": %.4f, \"max\": %.4f",
        latencies_.size(), seconds, latencies_.size() / seconds, at(0.5), at(0.99), at(1));
    std::printf(", \"late\": %zu, \"statuses\": {", late_);
    const char* comma = "";
    for (const auto& [status, count] : statuses_) {
      std::printf("%s\"%d\": %zu", comma, status, count);
      comma = ", ";
    }
    std::printf("}}\n");
  }

 private:
  // When the next event is due, in the open loop.
  Clock::time_point due() const {
    return start_ + std::chrono::duration_cast<Clock::duration>(Seconds(due_[next_]));
  }

  bool more(Clock::time_point now) const {
    if (next_ == requests_.size()) return false;
    return options_.rate > 0 ? due() < end_ : now < end_;
  }

  timespec patience() const {
    if (options_.rate <= 0 || free_.empty() || !more(Clock::now())) return {1, 0};
    const auto wait = std::max<std::int64_t>(0, std::chrono::nanoseconds(due() - Clock::now()).count());
    return {static_cast<time_t>(wait / 1'000'000'000), static_cast<long>(wait % 1'000'000'000)};
  }

  void send_due(Clock::time_point now) {
    while (!free_.empty() && more(now)) {
      if (options_.rate > 0 && due() > now) break;
      Connection& connection = connections_[free_.front()];
      free_.pop_front();
      connection.since = options_.rate > 0 ? due() : Clock::now();
      if (options_.rate > 0 && free_.empty()) ++late_;
      const std::string& request = requests_[next_++];
      for (std::size_t sent = 0; sent < request.size();) {
        const ssize_t size =
            send(connection.handle, request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
        if (size < 0) fail("send");
        sent += static_cast<std::size_t>(size);
      }
    }
  }

  void receive(std::size_t index) {
    Connection& connection = connections_[index];
    char buffer[4096];
    const ssize_t size = recv(connection.handle, buffer, sizeof buffer, MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN) return;
    if (size < 0) fail("recv");
    if (size == 0) throw std::runtime_error("the receiver closed a connection");
    connection.answer.append(buffer, static_cast<std::size_t>(size));
    const auto head = connection.answer.find("\r\n\r\n");
    if (head == std::string::npos) return;
    if (connection.answer.size() < head + 4 + length_of(connection.answer.substr(0, head + 2))) return;
    latencies_.push_back(Seconds(Clock::now() - connection.since).count());
    ++statuses_[number<int>(std::string_view(connection.answer).substr(9, 3))];
    connection.answer.clear();
    free_.push_back(index);
  }

  static std::size_t length_of(std::string head) {
    constexpr std::string_view name = "\r\ncontent-length:";
    std::transform(head.begin(), head.end(), head.begin(), [](unsigned char c) { return std::tolower(c); });
    const auto at = head.find(name);
    if (at == std::string::npos) throw std::runtime_error("an answer without Content-Length: " + head);
    const auto digits = head.find_first_not_of(' ', at + name.size());
    return number<std::size_t>(std::string_view(head).substr(digits, head.find('\r', digits) - digits));
  }

  const Options& options_;
  const std::vector<std::string> requests_;
  const int poll_;
  std::vector<Connection> connections_;
  std::deque<std::size_t> free_;
  std::size_t next_ = 0;
  std::size_t late_ = 0;  // found no connection left for the next one
  Clock::time_point start_, end_, finish_;
  std::vector<double> due_;  // seconds after the start
  std::vector<double> latencies_;
  std::map<int, std::size_t> statuses_;
};

}  // namespace

int main(int argc, char** argv) try {
  const Options options = parse(argc, argv);
  Load load(options, requests_of(options));
  load.run();
  load.print();
  return 0;
} catch (const std::exception& error) {
  std::cerr << "load: " << error.what() << "\n" << kUsage;
  return 1;
}
