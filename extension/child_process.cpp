#include "child_process.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#if defined(__GLIBC__) && defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 34)
#define PG_BILLING_HAVE_ADDCLOSEFROM 1
#endif
#endif

namespace billing {
namespace {

constexpr int kLifelineInChild = 3;

int close_inherited(posix_spawn_file_actions_t* actions) {
#ifdef PG_BILLING_HAVE_ADDCLOSEFROM
  return posix_spawn_file_actions_addclosefrom_np(actions, kLifelineInChild + 1);
#else
  DIR* open_files = opendir("/proc/self/fd");
  if (open_files == nullptr) return errno;
  int failure = 0;
  while (dirent* entry = readdir(open_files)) {
    int descriptor = std::atoi(entry->d_name);
    if (failure != 0 || descriptor <= kLifelineInChild || descriptor == dirfd(open_files)) continue;
    failure = posix_spawn_file_actions_addclose(actions, descriptor);
  }
  closedir(open_files);
  return failure;
#endif
}

int describe_files(posix_spawn_file_actions_t* actions, int lifeline) {
  // The pipe's end first: it may itself be one of the low numbers that the following steps replace.
  if (int failure = posix_spawn_file_actions_adddup2(actions, lifeline, kLifelineInChild)) return failure;
  if (int failure = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0))
    return failure;
  if (int failure = posix_spawn_file_actions_adddup2(actions, STDERR_FILENO, STDOUT_FILENO)) return failure;
  return close_inherited(actions);
}

int describe_signals(posix_spawnattr_t* attributes) {
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  sigdelset(&all, SIGKILL);
  sigdelset(&all, SIGSTOP);
  if (int failure = posix_spawnattr_setsigmask(attributes, &none)) return failure;
  if (int failure = posix_spawnattr_setsigdefault(attributes, &all)) return failure;
  // No process group of its own: what the server sends to ours must reach the child as well.
  return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

int spawn_with_lifeline(const char* const* arguments, const char* const* environment, int lifeline,
                        pid_t* pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  if (int failure = posix_spawn_file_actions_init(&actions)) return failure;
  if (int failure = posix_spawnattr_init(&attributes)) {
    posix_spawn_file_actions_destroy(&actions);
    return failure;
  }
  int failure = describe_files(&actions, lifeline);
  if (failure == 0) failure = describe_signals(&attributes);
  if (failure == 0) {
    failure = posix_spawn(pid, arguments[0], &actions, &attributes, const_cast<char* const*>(arguments),
                          const_cast<char* const*>(environment));
  }
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return failure;
}

}  // namespace

int spawn_child(const char* const* arguments, const char* const* environment, ChildProcess* child) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return errno;
  pid_t pid = 0;
  int failure = spawn_with_lifeline(arguments, environment, ends[0], &pid);
  close(ends[0]);
  if (failure != 0) {
    close(ends[1]);
    return failure;
  }
  child->pid = pid;
  child->lifeline = ends[1];
  return 0;
}

void forget_child(ChildProcess* child) {
  if (child->lifeline >= 0) close(child->lifeline);
  *child = ChildProcess();
}

}  // namespace billing
