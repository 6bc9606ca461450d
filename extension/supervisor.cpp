#include "supervisor.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "child_process.hpp"
#include "launch.hpp"
#include "pg/postmaster_file.hpp"
#include "pg/prelude.hpp"

// Fixed when the library is built: as a setting it would let whoever may change settings choose what the
// server runs.
#ifndef PG_BILLING_BINARY
#define PG_BILLING_BINARY "/usr/local/bin/pg_billing"
#endif

PG_BILLING_EXPORT void pg_billing_supervisor_main(Datum argument);

namespace billing {
namespace {

constexpr int64 kFirstDelayMs = 500;
constexpr int64 kLongestDelayMs = 30'000;
constexpr int64 kHealthyAfterMs = 30'000;  // who lived this long is started again after the first delay
constexpr int64 kGraceMs = 3'000;          // from the wish that it ends to SIGKILL
constexpr int64 kGroupSignalMs = 2'000;    // for a SIGTERM that went to our process group to do its work
constexpr int64 kHandlersReadyMs = 1'000;
constexpr int64 kWatchMs = 1'000;
constexpr int64 kStoppingWatchMs = 50;
constexpr int kRestartSupervisorSeconds = 1;

struct Supervisor {
  ChildProcess child;
  Launch launch;
  int64 started_at;
  bool stopping;
  int64 terminate_at;  // while stopping; 0 once it was sent SIGTERM
  int64 kill_at;       // while stopping; 0 once it was sent SIGKILL
  bool reload_child;
  bool advised;  // about the role that the child connects as
  int64 delay;
  int64 next_start;
};

Supervisor self;

int64 now_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int64>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

double seconds(int64 ms) { return static_cast<double>(ms) / 1000; }

void retry_without_delay() {
  self.delay = kFirstDelayMs;
  self.next_start = 0;
}

int64 back_off(int64 now) {
  int64 delay = self.delay;
  self.next_start = now + delay;
  self.delay = Min(delay * 2, kLongestDelayMs);
  return delay;
}

// What pg_stat_activity shows. Idle, since nobody should take us for a statement that never ends.
void show_activity(const char* text) { pgstat_report_activity(STATE_IDLE, text); }

void wake_up(SIGNAL_ARGS) {
  (void)postgres_signal_arg;
  int saved_errno = errno;
  SetLatch(MyLatch);
  errno = saved_errno;
}

// ---- starting

void report_started() {
  char activity[64];
  snprintf(activity, sizeof(activity), "worker is running, PID %d", static_cast<int>(self.child.pid));
  show_activity(activity);
  ereport(LOG, (errmsg("started pg_billing worker \"%s\" with PID %d", PG_BILLING_BINARY,
                       static_cast<int>(self.child.pid))));
  if (!self.advised && self.launch.user[0] == '\0' && !config_names_database(self.launch.config)) {
    self.advised = true;
    ereport(
        LOG,
        (errmsg("pg_billing worker connects as the server's operating-system user"),
         errhint(
             "Give it only what it needs: create a role, grant_billing_role('that_role', 'worker'), and set "
             "pg_billing.worker_user = 'that_role'.")));
  }
}

void report_start_failure(int error, int64 delay) {
  show_activity("worker could not be started");
  errno = error;
  ereport(
      WARNING,
      (errcode_for_file_access(), errmsg("could not start pg_billing worker \"%s\": %m", PG_BILLING_BINARY),
       errdetail("It is tried again in %.1f s.", seconds(delay)),
       errhint("Install the pg_billing binary at this path, which is fixed when the extension is built, "
               "or set pg_billing.worker = off and reload the server.")));
}

void start_child(MemoryContext context, int64 now) {
  self.launch = current_launch();
  self.started_at = now;
  self.stopping = false;
  self.reload_child = false;
  const char* arguments[] = {PG_BILLING_BINARY, "serve", nullptr, nullptr, nullptr};
  if (self.launch.config[0] != '\0') {
    arguments[2] = "--config";
    arguments[3] = self.launch.config;
  }
  MemoryContext outer = MemoryContextSwitchTo(context);
  int failure = spawn_child(arguments, launch_environment(self.launch), &self.child);
  MemoryContextSwitchTo(outer);
  MemoryContextReset(context);
  if (failure == 0)
    report_started();
  else
    report_start_failure(failure, back_off(now));
}

// ---- stopping

// `first_signal_ms` is how long the child has to end by itself before it is told.
void begin_stop(int64 now, int64 first_signal_ms) {
  if (self.stopping) return;
  self.stopping = true;
  self.terminate_at = now + first_signal_ms;
  self.kill_at = now + kGraceMs;
}

void continue_stop(int64 now) {
  if (self.terminate_at != 0 && now >= self.terminate_at) {
    self.terminate_at = 0;
    kill(self.child.pid, SIGTERM);
  }
  if (self.kill_at != 0 && now >= self.kill_at) {
    self.kill_at = 0;
    kill(self.child.pid, SIGKILL);
    ereport(LOG, (errmsg("killed pg_billing worker with PID %d", static_cast<int>(self.child.pid)),
                  errdetail("It did not end within %.1f s.", seconds(kGraceMs))));
  }
}

// On the way out by an error. After the postmaster's death nobody is left to wait for.
void stop_child_at_exit(int, Datum) {
  if (self.child.pid == 0) return;
  if (PostmasterIsAlive()) kill(self.child.pid, SIGTERM);
  int64 kill_at = now_ms() + kGraceMs;
  while (PostmasterIsAlive() && now_ms() < kill_at) {
    if (waitpid(self.child.pid, nullptr, WNOHANG) != 0) {
      forget_child(&self.child);
      return;
    }
    pg_usleep(20'000);
  }
  kill(self.child.pid, SIGKILL);
  waitpid(self.child.pid, nullptr, 0);
  forget_child(&self.child);
}

// ---- ending

const char* exit_hint(int status) {
  if (WIFSIGNALED(status)) {
    return WTERMSIG(status) == SIGKILL
               ? "The server is not affected. Who sends this signal is an administrator, or the kernel when "
                 "memory "
                 "runs out."
               : "The server is not affected. The worker's own last messages are in this log.";
  }
  if (self.launch.config[0] == '\0') {
    return "The worker's own messages in this log say why. Its secrets come from a file: set "
           "pg_billing.worker_config to its path and reload the server.";
  }
  return "The worker's own messages in this log say why. Once its configuration is corrected, reload the "
         "server to try "
         "at once.";
}

void report_exit(pid_t pid, int status, int64 lived, int64 delay) {
  char what[96];
  if (WIFSIGNALED(status)) {
    snprintf(what, sizeof(what), "was terminated by signal %d: %s", WTERMSIG(status),
             pg_strsignal(WTERMSIG(status)));
  } else {
    snprintf(what, sizeof(what), "exited with status %d", WEXITSTATUS(status));
  }
  char activity[160];
  snprintf(activity, sizeof(activity), "worker %s, next start after %.1f s", what, seconds(delay));
  show_activity(activity);
  ereport(
      WARNING,
      (errcode(ERRCODE_SYSTEM_ERROR), errmsg("pg_billing worker with PID %d %s", static_cast<int>(pid), what),
       errdetail("It had run for %.1f s, and is started again in %.1f s.", seconds(lived), seconds(delay)),
       errhint("%s", exit_hint(status))));
}

void reap_child(int64 now) {
  int status = 0;
  pid_t pid = self.child.pid;
  pid_t ended = waitpid(pid, &status, WNOHANG);
  if (ended == 0 || (ended < 0 && errno == EINTR)) return;
  forget_child(&self.child);
  int64 lived = now - self.started_at;
  if (self.stopping) {
    show_activity("worker is stopped");
    ereport(LOG, (errmsg("pg_billing worker with PID %d has ended", static_cast<int>(pid))));
    retry_without_delay();
    return;
  }
  if (lived >= kHealthyAfterMs) retry_without_delay();
  report_exit(pid, status, lived, back_off(now));
}

// ---- the loop

void reload_settings() {
  ConfigReloadPending = false;
  ProcessConfigFile(PGC_SIGHUP);
  // Whoever reloads has just changed something: don't let them wait.
  retry_without_delay();
  self.reload_child = self.child.pid != 0;
}

void tend_child(int64 now) {
  if (ShutdownRequestPending) {
    // Who ends a server process also signals its group, and a second SIGTERM would cut the child's drain
    // short.
    begin_stop(now, kGroupSignalMs);
  } else if (!worker_enabled() || !(self.launch == current_launch()) || pg::server_is_stopping()) {
    begin_stop(now, 0);
  }
  if (self.stopping) {
    continue_stop(now);
  } else if (self.reload_child && now - self.started_at >= kHandlersReadyMs) {
    // Earlier than this SIGHUP might still have its default effect.
    self.reload_child = false;
    kill(self.child.pid, SIGHUP);
  }
}

// Does what is due, and returns how long to wait at most, or -1 for as long as nothing happens.
int64 act(MemoryContext context) {
  int64 now = now_ms();
  if (self.child.pid != 0) reap_child(now);
  if (self.child.pid != 0) {
    tend_child(now);
    return self.stopping ? kStoppingWatchMs : kWatchMs;
  }
  if (ShutdownRequestPending) proc_exit(1);  // 0 would mean: never start it again
  if (!worker_enabled()) {
    show_activity("worker is off");
    return -1;
  }
  if (pg::server_is_stopping()) return kWatchMs;
  if (now < self.next_start) return self.next_start - now;
  start_child(context, now);
  return self.child.pid != 0 ? kWatchMs : self.next_start - now;
}

[[noreturn]] void run() {
  MemoryContext context =
      AllocSetContextCreate(TopMemoryContext, "pg_billing supervisor", ALLOCSET_SMALL_SIZES);
  for (;;) {
    CHECK_FOR_INTERRUPTS();
    if (ConfigReloadPending) reload_settings();
    int64 timeout = act(context);
    int events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (timeout >= 0 ? WL_TIMEOUT : 0);
    WaitLatch(MyLatch, events, timeout, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
  }
}

}  // namespace

void define_supervisor_settings() {
  if (process_shared_preload_libraries_in_progress) define_launch_settings();
}

void register_supervisor() {
  // pg_upgrade's servers must not take webhooks.
  if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade) return;
  BackgroundWorker worker = {};
  strlcpy(worker.bgw_name, "pg_billing supervisor", sizeof(worker.bgw_name));
  strlcpy(worker.bgw_type, "pg_billing supervisor", sizeof(worker.bgw_type));
  worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
  worker.bgw_start_time = BgWorkerStart_RecoveryFinished;  // so a standby runs none until it is promoted
  worker.bgw_restart_time = kRestartSupervisorSeconds;
  strlcpy(worker.bgw_library_name, "pg_billing", sizeof(worker.bgw_library_name));
  strlcpy(worker.bgw_function_name, "pg_billing_supervisor_main", sizeof(worker.bgw_function_name));
  RegisterBackgroundWorker(&worker);
}

}  // namespace billing

void pg_billing_supervisor_main(Datum) {
  using namespace billing;
  pqsignal(SIGHUP, SignalHandlerForConfigReload);
  pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
  pqsignal(SIGINT, SIG_IGN);  // there is no statement to cancel
  pqsignal(SIGCHLD, wake_up);
  BackgroundWorkerUnblockSignals();
  // Without a connection, be it to no database, pg_stat_activity would not show this process.
  BackgroundWorkerInitializeConnection(nullptr, nullptr, 0);
  before_shmem_exit(stop_child_at_exit, 0);
  retry_without_delay();
  run();
}
