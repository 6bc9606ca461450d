// Tells systemd how we are: https://www.freedesktop.org/software/systemd/man/sd_notify.html, without its
// library.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace billing::worker {

class Notifier {
 public:
  // Reads NOTIFY_SOCKET and WATCHDOG_USEC. Without the former every call does nothing.
  Notifier();
  ~Notifier();
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  void ready(const std::string& status) const;
  void reloading() const;
  void stopping() const;
  void alive() const;
  // How often alive() is expected; nothing when nobody watches.
  std::optional<std::chrono::microseconds> interval() const { return interval_; }

 private:
  void send(const std::string& message) const;

  int socket_ = -1;
  std::optional<std::chrono::microseconds> interval_;
};

}  // namespace billing::worker
