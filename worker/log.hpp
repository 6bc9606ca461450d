// The log: one JSON object per line on standard error. Never a body, a signature, a secret or a password.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace billing::worker::log {

enum class Level { debug, info, warning, error };

// Lines below this level are not written.
void set_level(Level level);
bool enabled(Level level);

// From here on lines are written from the event loop, many at a time, and never wait for a slow reader: what
// such a reader does not take is kept up to a limit, then dropped and counted.
void attach(boost::asio::io_context& io);
// Writes what is left, waiting a moment for the reader. Later lines are written at once.
void detach();
std::uint64_t dropped_lines();

// A line under construction; it is written when it goes out of scope.
class Line {
 public:
  Line(Level level, std::string_view event);
  ~Line();
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  // Long text is cut. The empty text is left out: an absent member and an empty one say the same.
  Line& add(std::string_view name, std::string_view value);
  Line& add(std::string_view name, const char* value) { return add(name, std::string_view(value)); }
  Line& add(std::string_view name, bool value);
  Line& add(std::string_view name, std::int64_t value);
  Line& add(std::string_view name, std::uint64_t value);
  Line& add(std::string_view name, int value) { return add(name, static_cast<std::int64_t>(value)); }
  // In milliseconds, with microseconds behind the point.
  Line& add(std::string_view name, std::chrono::steady_clock::duration value);

 private:
  void key(std::string_view name);

  bool enabled_;
  std::string text_;
};

}  // namespace billing::worker::log
