// User namespaces: one that maps the owners of a mount, and the id maps of a process whose owner is not root.
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "files.h"
#include "program.h"

// userns(slot, uid_map, gid_map): a user namespace without processes.
int op_userns(struct state *st, const struct arg *args, int argc) {
  struct clone_args clone = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
  char path[64];
  int fd = -1;
  pid_t pid = (pid_t)syscall(SYS_clone3, &clone, sizeof clone);
  if (pid < 0) return -errno;
  if (pid == 0)
    for (;;) pause();
  int result = write_proc(pid, "uid_map", &args[1]);
  if (result == 0) result = write_proc(pid, "gid_map", &args[2]);
  snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
  if (result == 0 && (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0) result = -errno;
  kill(pid, SIGKILL);
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
  return result < 0 ? result : slot_set(st, NUM(0), fd);
}

// map_ids(program, numbers...): newuidmap(1) or newgidmap(1) for the new process: "container host size" triples.
int op_map_ids(struct state *st, const struct arg *args, int argc) {
  char pid[16], numbers[96][16], *argv[100] = {(char *)(uintptr_t)STR(0), pid};
  if (argc > 97) return -E2BIG;
  snprintf(pid, sizeof pid, "%d", st->child);
  for (int i = 1; i < argc; i++) {
    snprintf(numbers[i - 1], sizeof *numbers, "%lld", (long long)NUM(i));
    argv[i + 1] = numbers[i - 1];
  }
  return run_helper(st, argv);
}
