// What of the new process goes to others over unix sockets: its pidfd, and the listener of its seccomp filter.
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include "files.h"
#include "keeper.h"
#include "operations.h"

// seccomp(flags, program): struct sock_filter after struct sock_filter. A filter with a listener hands its descriptor's
// number to the parent and waits until that has fetched it: the process itself may be unable to send it by now.
int op_seccomp(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  size_t count = args[1].length / sizeof(struct sock_filter);
  if (count == 0 || count > BPF_MAXINSNS || args[1].length % sizeof(struct sock_filter)) return -EINVAL;
  struct sock_fprog program = {(unsigned short)count, (struct sock_filter *)(uintptr_t)args[1].bytes};
  int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, (unsigned)NUM(0), &program);
  if (fd < 0) return -errno;
  if (!(NUM(0) & SECCOMP_FILTER_FLAG_NEW_LISTENER)) return 0;
  char taken;
  if (write(st->sync, &fd, sizeof fd) != sizeof fd || read(st->sync, &taken, 1) != 1) return -ECANCELED;
  close(fd);
  return 0;
}

static int pidfd_of(pid_t pid) {
  int fd = (int)syscall(SYS_pidfd_open, pid, 0);
  return fd < 0 ? -errno : fd;
}

static int connect_to(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd < 0 ? -errno : fd;
  int error = errno;
  close(fd);
  return -error;
}

// send_listener(path, state in two or three parts around the process's pid): fetches the listener from the process and sends it
// to the agent behind the socket, with the ContainerProcessState of the runtime-spec.
int op_send_listener(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  char text[65536];
  const char *form = args[3].length ? "%s%d%s%d%s" : "%s%d%s";
  int number, n = snprintf(text, sizeof text, form, STR(1), st->child, STR(2), st->child, STR(3));
  if (n < 0 || n >= (int)sizeof text) return -E2BIG;
  if (read(st->sync, &number, sizeof number) != sizeof number) return -ECANCELED;  // the child failed and has said why
  int pidfd = pidfd_of(st->child);
  int listener = pidfd < 0 ? pidfd : (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
  int agent = listener < 0 ? (pidfd < 0 ? pidfd : -errno) : connect_to(STR(0));
  int result = agent < 0 ? agent : send_descriptor(agent, listener, text);
  if (result == 0 && write(st->sync, "t", 1) != 1) result = -ECANCELED;
  if (agent >= 0) close(agent);
  if (listener >= 0) close(listener);
  if (pidfd >= 0) close(pidfd);
  return result;
}

// send_pidfd(socket slot, text): the process's pidfd to the caller's --pidfd-socket.
int op_send_pidfd(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  int socket = slot_get(st, NUM(0)), pidfd = pidfd_of(st->child);
  int result = socket < 0 ? socket : pidfd < 0 ? pidfd : send_descriptor(socket, pidfd, STR(1));
  if (pidfd >= 0) close(pidfd);
  return result;
}
