// How far an import has come, told on standard error: one line that changes on a terminal, else a line now
// and then.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

namespace billing::sync {

class Progress {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Progress(bool silent);

  // Of what was read before this run: objects, and how much of the whole they are (0 to 1).
  void resume(std::uint64_t objects, double share);
  void add(const std::string& type, std::uint64_t objects);
  // A part of the whole is read.
  void finish_share(double share);
  void note(const std::string& text);
  void end();

  std::uint64_t objects() const { return objects_; }
  double rate() const;

 private:
  void show(bool always);
  std::string line() const;

  bool silent_;
  bool terminal_;
  Clock::time_point began_ = Clock::now();
  Clock::time_point shown_{};
  std::uint64_t before_ = 0;
  std::uint64_t objects_ = 0;
  double share_before_ = 0;
  double share_ = 0;
  std::string type_;
};

}  // namespace billing::sync
