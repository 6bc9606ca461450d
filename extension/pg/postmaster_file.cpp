#include "pg/postmaster_file.hpp"

#include "pg/prelude.hpp"

namespace billing::pg {
namespace {

// Every server process runs in the data directory.
constexpr char kFileName[] = "postmaster.pid";

// Copies line number `wanted` (from 1) without its end and trailing blanks; empty when there is none.
void read_line(int wanted, char* out, size_t size) {
  out[0] = '\0';
  FILE* file = fopen(kFileName, "re");
  if (file == nullptr) return;
  char line[1024];
  for (int number = 1; fgets(line, sizeof(line), file) != nullptr; ++number) {
    if (number != wanted) continue;
    size_t length = strcspn(line, "\r\n");
    while (length > 0 && line[length - 1] == ' ') --length;
    line[length] = '\0';
    strlcpy(out, line, size);
    break;
  }
  fclose(file);
}

}  // namespace

void read_server_address(ServerAddress* address) {
  snprintf(address->port, sizeof(address->port), "%d", PostPortNumber);
  read_line(LOCK_FILE_LINE_SOCKET_DIR, address->host, sizeof(address->host));
  if (address->host[0] != '\0') return;
  read_line(LOCK_FILE_LINE_LISTEN_ADDR, address->host, sizeof(address->host));
  if (strcmp(address->host, "*") == 0) strlcpy(address->host, "localhost", sizeof(address->host));
}

bool server_is_stopping() {
  char status[16];
  read_line(LOCK_FILE_LINE_PM_STATUS, status, sizeof(status));
  return strcmp(status, PM_STATUS_STOPPING) == 0;
}

}  // namespace billing::pg
