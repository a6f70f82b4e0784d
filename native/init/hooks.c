// Hooks of the runtime-spec: programs that run at fixed points, with the container's state on stdin.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "files.h"
#include "operations.h"
#include "report.h"

// In the forked process: never returns.
static void run_program(const char *path, char **argv, char **env, int input, int errors) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  setpgid(0, 0);  // a timeout ends all that the hook started
  int null = open("/dev/null", O_WRONLY);
  if (dup2(input, 0) < 0 || dup2(null < 0 ? errors : null, 1) < 0 || dup2(errors, 2) < 0) _exit(127);
  syscall(SYS_close_range, 3u, ~0u, 0u);
  execve(path, argv, env);
  dprintf(2, "%s", strerror(errno));
  _exit(127);
}

// Collects what the hook says on stderr until it ends or its time is over; its wait status or a negated errno.
static int supervise(struct state *st, pid_t pid, int errors, int64_t timeout_ms) {
  int64_t deadline = timeout_ms > 0 ? monotonic_ns() / 1000000 + timeout_ms : INT64_MAX;
  size_t used = strlen(st->detail);
  int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
  bool killed = false;
  if (pidfd < 0) return -errno;
  for (;;) {
    int64_t left = deadline - monotonic_ns() / 1000000;
    if (left <= 0 && !killed) {
      kill(-pid, SIGKILL);
      kill(pid, SIGKILL);
      killed = true;
    }
    struct pollfd wait[2] = {{pidfd, POLLIN, 0}, {errors, POLLIN, 0}};
    poll(wait, 2, killed ? 1000 : left > 60000 ? 60000 : (int)left);
    if (wait[1].revents & POLLIN) {
      char text[512];
      ssize_t n = read(errors, text, sizeof text);
      for (ssize_t i = 0; i < n && used < sizeof st->detail - 1; i++) st->detail[used++] = text[i];
      st->detail[used] = 0;
      if (n > 0) continue;
    }
    if (wait[0].revents & POLLIN) break;
  }
  close(pidfd);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  if (killed) return -ETIMEDOUT;
  return status;
}

// Says how a program ended, with what it said on stderr; -ECHILD.
static int ended_badly(struct state *st, int status) {
  char text[sizeof st->detail];
  snprintf(text, sizeof text, WIFSIGNALED(status) ? "signal %d: %.900s" : "exit status %d: %.900s",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), st->detail);
  memcpy(st->detail, text, sizeof text);
  return -ECHILD;
}

int run_helper(struct state *st, char **argv) {
  int errors[2], null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null < 0 || pipe2(errors, O_CLOEXEC | O_NONBLOCK) < 0) return -errno;
  pid_t pid = fork();
  if (pid == 0) run_program(argv[0], argv, (char *[]){NULL}, null, errors[1]);
  close(errors[1]);
  close(null);
  int status = pid < 0 ? -errno : supervise(st, pid, errors[0], 0);
  close(errors[0]);
  return status > 0 ? ended_badly(st, status) : status;
}

// hook(path, stdin before the pid, stdin behind it, timeout in ms or 0, argument count, argv..., env...)
int op_hook(struct state *st, const struct arg *args, int argc) {
  int count = (int)NUM(4), result;
  if (count < 0 || count > argc - 5) return -EINVAL;
  char **vector = calloc((size_t)argc + 2, sizeof *vector);
  if (!vector) return -ENOMEM;
  for (int i = 0; i < count; i++) vector[i] = (char *)(uintptr_t)STR(5 + i);
  char **env = vector + count + 1;
  for (int i = 5 + count, n = 0; i < argc; i++) {
    // "HOME" alone stands for what home() has found.
    bool home = strcmp(STR(i), "HOME") == 0;
    if (!home || st->home[0]) env[n++] = home ? st->home : (char *)(uintptr_t)STR(i);
  }
  // A memfd takes the whole state at once: a hook that does not read it blocks nobody.
  int errors[2] = {-1, -1};
  int input = (int)syscall(SYS_memfd_create, "hook-state", 1u);
  char pid_text[16];
  int digits = snprintf(pid_text, sizeof pid_text, "%d", st->child);
  if (input < 0 || pipe2(errors, O_CLOEXEC | O_NONBLOCK) < 0) {
    result = -errno;
  } else if ((result = write_all(input, args[1].bytes, args[1].length)) == 0 &&
             (args[2].length == 0 || (result = write_all(input, pid_text, (size_t)digits)) == 0) &&
             (result = write_all(input, args[2].bytes, args[2].length)) == 0) {
    lseek(input, 0, SEEK_SET);
    pid_t pid = fork();
    if (pid == 0) run_program(STR(0), vector, env, input, errors[1]);
    close(errors[1]);
    errors[1] = -1;
    int status = pid < 0 ? -errno : supervise(st, pid, errors[0], NUM(3));
    result = status > 0 ? ended_badly(st, status) : status;
  }
  free(vector);
  if (input >= 0) close(input);
  if (errors[0] >= 0) close(errors[0]);
  if (errors[1] >= 0) close(errors[1]);
  return result;
}
