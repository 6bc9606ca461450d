// What the postmaster writes into postmaster.pid: its port, its socket directory, and whether it is stopping.
#pragma once

#include <cstddef>

namespace billing::pg {

struct ServerAddress {
  char host[1024];  // a socket directory, else a host name or address; empty when unknown
  char port[16];
};

// Where a client on this machine reaches this server.
void read_server_address(ServerAddress* address);

// Whether a shutdown of any kind was asked for. A smart one signals nobody: it only waits for sessions to
// end.
bool server_is_stopping();

}  // namespace billing::pg
