// The log: one JSON object per line on standard error.
#include "worker/log.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <ctime>
#include <memory>

#include "worker/text.hpp"

namespace billing::worker::log {
namespace {

constexpr std::size_t kMaxValueBytes = 1000;
constexpr std::size_t kMaxBuffered = 1024 * 1024;
constexpr auto kRetryInterval = std::chrono::milliseconds(20);

enum class Sink { file, pipe, socket };

Sink sink_of(int descriptor) {
  struct stat status {};
  if (fstat(descriptor, &status) != 0) return Sink::file;
  if (S_ISFIFO(status.st_mode)) return Sink::pipe;
  return S_ISSOCK(status.st_mode) ? Sink::socket : Sink::file;
}

// One thread, hence no lock. A function-local object, so that nothing runs before main.
struct State {
  Level level = Level::info;
  Sink sink = sink_of(STDERR_FILENO);
  std::string buffer;
  std::uint64_t dropped = 0;
  boost::asio::io_context* io = nullptr;
  std::unique_ptr<boost::asio::steady_timer> retry;
  bool scheduled = false;
};
State& state() {
  static State instance;
  return instance;
}

// How much of `text` to write at once. A pipe that polls as writable takes PIPE_BUF bytes without blocking;
// whole lines, because other processes may write to the same pipe.
std::size_t portion(const State& s) {
  if (s.sink != Sink::pipe || s.buffer.size() <= PIPE_BUF) return s.buffer.size();
  const std::size_t newline = s.buffer.rfind('\n', PIPE_BUF - 1);
  return newline == std::string::npos ? PIPE_BUF : newline + 1;
}

// False when the reader takes no more for now.
bool write_some(State& s, int timeout_ms) {
  pollfd ready{STDERR_FILENO, POLLOUT, 0};
  const int polled = poll(&ready, 1, timeout_ms);
  if (polled == 0 || (polled < 0 && errno != EINTR)) return false;
  const std::size_t length = portion(s);
  const ssize_t written = s.sink == Sink::socket
                              ? send(STDERR_FILENO, s.buffer.data(), length, MSG_DONTWAIT | MSG_NOSIGNAL)
                              : write(STDERR_FILENO, s.buffer.data(), length);
  if (written > 0) {
    s.buffer.erase(0, static_cast<std::size_t>(written));
    return true;
  }
  if (errno == EAGAIN || errno == EINTR) return false;
  // Nobody will ever read it: standard error is closed, or its disk is full.
  ++s.dropped;
  s.buffer.clear();
  return true;
}

void flush() {
  State& s = state();
  s.scheduled = false;
  while (!s.buffer.empty()) {
    if (write_some(s, 0)) continue;
    s.scheduled = true;
    s.retry->expires_after(kRetryInterval);
    s.retry->async_wait([](const boost::system::error_code& error) {
      if (!error) flush();
    });
    return;
  }
}

void submit(const std::string& line) {
  State& s = state();
  if (s.buffer.size() + line.size() > kMaxBuffered) {
    ++s.dropped;
    return;
  }
  s.buffer += line;
  if (s.io == nullptr) {
    while (!s.buffer.empty() && write_some(s, 1000)) {
    }
  } else if (!s.scheduled) {
    s.scheduled = true;
    boost::asio::post(*s.io, flush);
  }
}

const char* name_of(Level level) {
  switch (level) {
    case Level::debug:
      return "debug";
    case Level::info:
      return "info";
    case Level::warning:
      return "warning";
    case Level::error:
      return "error";
  }
  return "info";
}

void append_time(std::string& out) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  // The date changes once a second; only the milliseconds are made for each line.
  static std::time_t second = -1;
  static char date[24];
  if (second != now.tv_sec) {
    second = now.tv_sec;
    std::tm parts{};
    gmtime_r(&second, &parts);
    std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
  }
  char fraction[8];
  std::snprintf(fraction, sizeof fraction, ".%03dZ", static_cast<int>(now.tv_nsec / 1000000) % 1000);
  out.append(date).append(fraction);
}

}  // namespace

void set_level(Level level) { state().level = level; }

bool enabled(Level level) { return level >= state().level; }

void attach(boost::asio::io_context& io) {
  state().io = &io;
  state().retry = std::make_unique<boost::asio::steady_timer>(io);
}

void detach() {
  State& s = state();
  s.io = nullptr;
  s.retry.reset();
  s.scheduled = false;
  while (!s.buffer.empty() && write_some(s, 1000)) {
  }
}

std::uint64_t dropped_lines() { return state().dropped; }

Line::Line(Level level, std::string_view event) : enabled_(log::enabled(level)) {
  if (!enabled_) return;
  text_.reserve(320);
  text_ += "{\"time\":\"";
  append_time(text_);
  text_ += "\",\"level\":\"";
  text_ += name_of(level);
  text_ += '"';
  add("event", event);
}

Line::~Line() {
  if (!enabled_) return;
  text_ += "}\n";
  submit(text_);
}

void Line::key(std::string_view name) {
  text_ += ",\"";
  text_ += name;
  text_ += "\":";
}

Line& Line::add(std::string_view name, std::string_view value) {
  if (!enabled_ || value.empty()) return *this;
  key(name);
  append_json_string(text_, clip(value, kMaxValueBytes));
  return *this;
}

Line& Line::add(std::string_view name, bool value) {
  if (!enabled_) return *this;
  key(name);
  text_ += value ? "true" : "false";
  return *this;
}

Line& Line::add(std::string_view name, std::int64_t value) {
  if (!enabled_) return *this;
  key(name);
  text_ += std::to_string(value);
  return *this;
}

Line& Line::add(std::string_view name, std::uint64_t value) {
  if (!enabled_) return *this;
  key(name);
  text_ += std::to_string(value);
  return *this;
}

Line& Line::add(std::string_view name, std::chrono::steady_clock::duration value) {
  if (!enabled_) return *this;
  key(name);
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(value).count();
  char number[32];
  std::snprintf(number, sizeof number, "%.3f", static_cast<double>(micros) / 1000.0);
  text_ += number;
  return *this;
}

}  // namespace billing::worker::log
