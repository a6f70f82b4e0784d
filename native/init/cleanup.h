// Closes descriptors when their scope ends. For what only this function owns: not for descriptors that a slot or the
// keeper keeps. A forked child leaves by exec or _exit, which run no cleanup.
#pragma once
#include <errno.h>
#include <unistd.h>

// Closes a descriptor unless it is negative; errno stays as it was.
static inline void close_fd(int *fd) {
  int saved = errno;
  if (*fd >= 0) close(*fd);
  *fd = -1;
  errno = saved;
}

static inline void close_pair(int (*pair)[2]) {
  close_fd(&(*pair)[0]);
  close_fd(&(*pair)[1]);
}

#define _cleanup_close_ __attribute__((cleanup(close_fd)))
#define _cleanup_close_pair_ __attribute__((cleanup(close_pair)))

// Hands the descriptor over: the cleanup no longer closes it.
static inline int take_fd(int *fd) {
  int taken = *fd;
  *fd = -1;
  return taken;
}
