// Runs programs and collects what they say on stderr; see program.h.
#include "program.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cleanup.h"
#include "report.h"

// In the forked process: never returns.
static void execute(const char *path, char **argv, char **env, int input, int errors) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  setpgid(0, 0);  // a timeout kills everything that the program started
  int null = open("/dev/null", O_WRONLY);
  if (dup2(input, 0) < 0 || dup2(null < 0 ? errors : null, 1) < 0 || dup2(errors, 2) < 0) _exit(127);
  syscall(SYS_close_range, 3u, ~0u, 0u);
  execve(path, argv, env);
  dprintf(2, "%s", strerror(errno));
  _exit(127);
}

// Collects the program's stderr until it ends or its time is up; its wait status or a negated errno.
static int supervise(struct state *st, pid_t pid, int errors, int64_t timeout_ms) {
  int64_t deadline = timeout_ms > 0 ? monotonic_ns() / 1000000 + timeout_ms : INT64_MAX;
  size_t used = strlen(st->detail);
  _cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
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
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  return killed ? -ETIMEDOUT : status;
}

// Puts how the program ended before what it said on stderr; -ECHILD.
static int ended_badly(struct state *st, int status) {
  char text[sizeof st->detail];
  snprintf(text, sizeof text, WIFSIGNALED(status) ? "signal %d: %.900s" : "exit status %d: %.900s",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), st->detail);
  memcpy(st->detail, text, sizeof text);
  return -ECHILD;
}

int run_program(struct state *st, const char *path, char **argv, char **env, int input, int64_t timeout_ms) {
  _cleanup_close_pair_ int errors[2] = {-1, -1};
  if (pipe2(errors, O_CLOEXEC | O_NONBLOCK) < 0) return -errno;
  pid_t pid = fork();
  if (pid < 0) return -errno;
  if (pid == 0) execute(path, argv, env, input, errors[1]);
  close_fd(&errors[1]);
  int status = supervise(st, pid, errors[0], timeout_ms);
  return status > 0 ? ended_badly(st, status) : status;
}

int run_helper(struct state *st, char **argv) {
  _cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  return null < 0 ? -errno : run_program(st, argv[0], argv, (char *[]){NULL}, null, 0);
}
