// Hooks of the runtime-spec: programs that run at fixed points, with the container's state on stdin.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "cleanup.h"
#include "files.h"
#include "program.h"

// The state in a memfd, ready to be read: a hook that does not read it blocks nobody.
static int open_state(const struct arg *before, pid_t pid, const struct arg *after) {
  char digits[16];
  int size = snprintf(digits, sizeof digits, "%d", pid), result;
  _cleanup_close_ int fd = (int)syscall(SYS_memfd_create, "hook-state", 1u);
  if (fd < 0) return -errno;
  if ((result = write_all(fd, before->bytes, before->length)) < 0) return result;
  if (after->length && (result = write_all(fd, digits, (size_t)size)) < 0) return result;
  if ((result = write_all(fd, after->bytes, after->length)) < 0) return result;
  lseek(fd, 0, SEEK_SET);
  return take_fd(&fd);
}

// hook(path, stdin before the pid, stdin after it, timeout in ms or 0, argument count, argv..., env...)
int op_hook(struct state *st, const struct arg *args, int argc) {
  int count = (int)NUM(4);
  if (count < 0 || count > argc - 5) return -EINVAL;
  char **vector = calloc((size_t)argc + 2, sizeof *vector);
  if (!vector) return -ENOMEM;
  for (int i = 0; i < count; i++) vector[i] = (char *)(uintptr_t)STR(5 + i);
  char **env = vector + count + 1;
  for (int i = 5 + count, n = 0; i < argc; i++) {
    // "HOME" alone stands for what home() found.
    bool home = strcmp(STR(i), "HOME") == 0;
    if (!home || st->home[0]) env[n++] = home ? st->home : (char *)(uintptr_t)STR(i);
  }
  _cleanup_close_ int input = open_state(&args[1], st->child, &args[2]);
  int result = input < 0 ? input : run_program(st, STR(0), vector, env, input, NUM(3));
  free(vector);
  return result;
}
