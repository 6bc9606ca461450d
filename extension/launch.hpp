// What the supervisor starts the companion binary with: the settings, and the environment made from them.
#pragma once

namespace billing {

// The values of the settings at one moment, to notice that a running child was started with others.
struct Launch {
  char database[64];
  char user[64];
  char config[1024];
};

bool worker_enabled();
void define_launch_settings();
Launch current_launch();
bool operator==(const Launch& left, const Launch& right);

// A null-terminated list of NAME=value, allocated in the current memory context. Nothing is handed down from
// the server's own environment.
const char* const* launch_environment(const Launch& launch);

// Whether the configuration file gives DATABASE_URL, so that the settings need not.
bool config_names_database(const char* path);

}  // namespace billing
