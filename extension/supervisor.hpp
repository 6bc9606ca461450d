// The supervisor: a background worker that runs the companion binary beside the server. With the library in
// shared_preload_libraries and pg_billing.worker = on it starts the binary, restarts it with back-off, and
// ends it with the server.
#pragma once

namespace billing {

// Both are to be called from _PG_init, and do nothing unless shared_preload_libraries are being loaded.
void define_supervisor_settings();
void register_supervisor();

}  // namespace billing
