// The library's magic block and its start.
#include "pg/prelude.hpp"
#include "pg/shared_memory.hpp"
#include "supervisor.hpp"

extern "C" {
PG_MODULE_MAGIC;
}

PG_BILLING_EXPORT void _PG_init(void);
void _PG_init(void) {
  if (!process_shared_preload_libraries_in_progress) return;
  billing::define_supervisor_settings();
  billing::register_supervisor();
  billing::pg::request_shared_memory();
}
