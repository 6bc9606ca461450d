#include "worker/sync/progress.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

namespace billing::sync {

namespace {

constexpr auto kOnTerminal = std::chrono::milliseconds(200);
constexpr auto kInLog = std::chrono::seconds(10);
constexpr double kShareToGoBy = 0.01;  // below it nobody can say how long it takes

std::string duration(double seconds) {
  char text[32];
  const int whole = static_cast<int>(std::min(seconds, 359999.0));
  std::snprintf(text, sizeof text, "%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60);
  return text;
}

}  // namespace

Progress::Progress(bool silent) : silent_(silent), terminal_(isatty(STDERR_FILENO) == 1) {}

void Progress::resume(std::uint64_t objects, double share) {
  before_ = objects;
  share_ = share_before_ = share;
}

void Progress::add(const std::string& type, std::uint64_t objects) {
  objects_ += objects;
  type_ = type;
  show(false);
}

void Progress::finish_share(double share) {
  share_ = std::min(1.0, share_ + share);
  show(false);
}

double Progress::rate() const {
  const double seconds = std::chrono::duration<double>(Clock::now() - began_).count();
  return seconds > 0 ? static_cast<double>(objects_) / seconds : 0;
}

std::string Progress::line() const {
  const double seconds = std::chrono::duration<double>(Clock::now() - began_).count();
  const double done = share_ - share_before_;
  std::string text = std::to_string(before_ + objects_) + " objects, " +
                     std::to_string(static_cast<std::uint64_t>(rate())) + " a second, " +
                     std::to_string(static_cast<int>(share_ * 100)) + " % of the lists";
  if (done > kShareToGoBy && share_ < 1)
    text += ", about " + duration(seconds * (1 - share_) / done) + " left";
  if (!type_.empty()) text += " (" + type_ + ")";
  return text;
}

void Progress::show(bool always) {
  if (silent_) return;
  const auto now = Clock::now();
  if (!always && now - shown_ < (terminal_ ? Clock::duration(kOnTerminal) : Clock::duration(kInLog))) return;
  shown_ = now;
  if (terminal_)
    std::cerr << "\r\033[K" << line() << std::flush;
  else
    std::cerr << line() << std::endl;
}

void Progress::note(const std::string& text) {
  if (terminal_ && !silent_) std::cerr << "\r\033[K";
  std::cerr << text << std::endl;
}

void Progress::end() {
  type_.clear();
  show(true);
  if (terminal_ && !silent_) std::cerr << std::endl;
}

}  // namespace billing::sync
