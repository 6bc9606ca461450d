// Life under the extension's supervisor.
#include "worker/supervision.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdlib>
#include <memory>
#include <string_view>

namespace billing::worker {
namespace {

constexpr int kSupervisorPipe = 3;

}  // namespace

bool supervised() {
  const char* value = std::getenv("PG_BILLING_SUPERVISED");
  return value != nullptr && std::string_view(value) == "1";
}

bool bind_to_supervisor() {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The postmaster is shielded from the out-of-memory killer; its children are not, and so we are not.
  if (const int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); file >= 0) {
    static_cast<void>(!write(file, "0", 1));
    close(file);
  }
  // A parent that died before prctl took effect sends no signal any more.
  if (getppid() == 1) return false;
  pollfd pipe{kSupervisorPipe, POLLIN, 0};
  return poll(&pipe, 1, 0) == 0;
}

void watch_supervisor(boost::asio::io_context& io, std::function<void()> gone) {
  auto pipe = std::make_shared<boost::asio::posix::stream_descriptor>(io, kSupervisorPipe);
  auto byte = std::make_shared<std::array<char, 1>>();
  pipe->async_read_some(
      boost::asio::buffer(*byte),
      [pipe, byte, gone = std::move(gone)](const boost::system::error_code&, std::size_t) { gone(); });
}

}  // namespace billing::worker
