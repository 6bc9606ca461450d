// Life under the extension's supervisor: the worker must not outlive the server that started it.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>

namespace billing::worker {

// PG_BILLING_SUPERVISED=1 in the environment.
bool supervised();

// Asks the kernel to kill us with our parent, and gives back the protection from the out-of-memory killer
// that the server's processes have. False when the parent is gone already.
bool bind_to_supervisor();

// Descriptor 3 is the reading end of a pipe that the supervisor holds open and never writes to.
void watch_supervisor(boost::asio::io_context& io, std::function<void()> gone);

}  // namespace billing::worker
