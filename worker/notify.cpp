// Tells systemd how we are.
#include "worker/notify.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace billing::worker {

Notifier::Notifier() {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || (path[0] != '/' && path[0] != '@')) return;
  sockaddr_un address{};
  const std::size_t length = std::strlen(path);
  if (length >= sizeof address.sun_path) return;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';  // Linux' abstract names begin with a NUL
  socket_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  if (socket_ >= 0 && connect(socket_, reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    close(socket_);
    socket_ = -1;
  }
  const char* watchdog = std::getenv("WATCHDOG_USEC");
  const char* process = std::getenv("WATCHDOG_PID");
  if (watchdog == nullptr || (process != nullptr && std::atol(process) != getpid())) return;
  const long long period = std::atoll(watchdog);
  // Half of it, as its manual advises.
  if (period > 0) interval_ = std::chrono::microseconds(period / 2);
}

Notifier::~Notifier() {
  if (socket_ >= 0) close(socket_);
}

void Notifier::send(const std::string& message) const {
  if (socket_ >= 0) static_cast<void>(::send(socket_, message.data(), message.size(), MSG_NOSIGNAL));
}

void Notifier::ready(const std::string& status) const { send("READY=1\nSTATUS=" + status); }

void Notifier::reloading() const {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const long long micros = static_cast<long long>(now.tv_sec) * 1000000 + now.tv_nsec / 1000;
  send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(micros));
}

void Notifier::stopping() const { send("STOPPING=1"); }

void Notifier::alive() const { send("WATCHDOG=1"); }

}  // namespace billing::worker
