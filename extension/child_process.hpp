// Starts a program whose life is tied to this process: it reads end-of-file on descriptor 3 when this process
// ends.
#pragma once

#include <sys/types.h>

namespace billing {

struct ChildProcess {
  pid_t pid = 0;      // 0: none
  int lifeline = -1;  // the write end of the pipe that the child has as descriptor 3
};

// Runs arguments[0] (a path) with exactly this environment, nothing on standard input, standard output and
// error both going to this process's standard error, and no other descriptor or signal setting of ours.
// Returns 0 or an errno.
int spawn_child(const char* const* arguments, const char* const* environment, ChildProcess* child);

// Forgets a child that was waited for.
void forget_child(ChildProcess* child);

}  // namespace billing
