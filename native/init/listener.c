// Sends a new process's pidfd, or the listener of its seccomp filter, to others over unix sockets.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include "cleanup.h"
#include "descriptors.h"
#include "operations.h"

// seccomp(flags, program): an array of struct sock_filter. If the filter has a listener, its descriptor's number goes to the
// parent, which fetches it: the filter may already keep the process from sending it.
int op_seccomp(struct state *st, const struct arg *args, int argc) {
  size_t count = args[1].length / sizeof(struct sock_filter);
  if (count == 0 || count > BPF_MAXINSNS || args[1].length % sizeof(struct sock_filter)) return -EINVAL;
  struct sock_fprog program = {(unsigned short)count, (struct sock_filter *)(uintptr_t)args[1].bytes};
  unsigned flags = (unsigned)NUM(0);
  int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  if (fd < 0) return -errno;
  if (!(flags & SECCOMP_FILTER_FLAG_NEW_LISTENER)) return 0;
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
  _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) return -errno;
  return take_fd(&fd);
}

// send_listener(path, state in two or three parts around the process's pid): fetches the listener from the process and sends
// it to the agent behind the socket, with the ContainerProcessState of the runtime-spec.
int op_send_listener(struct state *st, const struct arg *args, int argc) {
  char text[65536];
  const char *form = args[3].length ? "%s%d%s%d%s" : "%s%d%s";
  int number, n = snprintf(text, sizeof text, form, STR(1), st->child, STR(2), st->child, STR(3));
  if (n < 0 || n >= (int)sizeof text) return -E2BIG;
  if (read(st->sync, &number, sizeof number) != sizeof number) return -ECANCELED;  // the child failed and has reported why
  _cleanup_close_ int pidfd = pidfd_of(st->child);
  if (pidfd < 0) return pidfd;
  _cleanup_close_ int listener = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
  if (listener < 0) return -errno;
  _cleanup_close_ int agent = connect_to(STR(0));
  if (agent < 0) return agent;
  int result = send_descriptor(agent, listener, text);
  if (result < 0) return result;
  return write(st->sync, "t", 1) == 1 ? 0 : -ECANCELED;
}

// send_pidfd(socket slot, text): the process's pidfd to the caller's --pidfd-socket.
int op_send_pidfd(struct state *st, const struct arg *args, int argc) {
  int socket = slot_get(st, NUM(0));
  if (socket < 0) return socket;
  _cleanup_close_ int pidfd = pidfd_of(st->child);
  return pidfd < 0 ? pidfd : send_descriptor(socket, pidfd, STR(1));
}
