// Counts out-of-memory kills; see oom.h.
#include "oom.h"
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "cleanup.h"
#include "keeper.h"

short oom_event(const struct oom_watch *oom) { return oom->event == oom->file ? POLLPRI : POLLIN; }

// The number of "oom_kill N" in the file; older kernels do not have it.
static unsigned read_kills(const struct oom_watch *oom) {
  char text[1024];
  ssize_t n = pread(oom->file, text, sizeof text - 1, 0);
  text[n < 0 ? 0 : n] = 0;
  const char *found = strstr(text, "oom_kill ");
  return found ? (unsigned)strtoul(found + 9, NULL, 10) : oom->base + oom->count;
}

bool oom_update(struct oom_watch *oom) {
  uint64_t times;
  if (oom->event < 0) return false;
  if (oom->event != oom->file && read(oom->event, &times, sizeof times) < 0 && errno != EAGAIN) return false;
  // The event is only a hint; the file has the count.
  unsigned count = read_kills(oom) - oom->base;
  bool risen = count > oom->count;
  oom->count = count;
  return risen;
}

// watch_oom(cgroup version, the memory controller's cgroup folder, file): memory.oom_control with an eventfd, or
// memory.events, which polls as urgent after a change.
int op_watch_oom(struct state *st, const struct arg *args, int argc) {
  struct oom_watch *oom = &st->keeper->oom;
  char path[4352], text[32];
  snprintf(path, sizeof path, "%s/%s", STR(1), STR(2));
  if ((oom->file = open(path, O_RDONLY | O_CLOEXEC)) < 0) return -errno;
  oom->base = read_kills(oom);  // the cgroup may have existed before; only changes after this read are polled
  if (NUM(0) == 2) {
    oom->event = oom->file;
    return 0;
  }
  if ((oom->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) return -errno;
  snprintf(path, sizeof path, "%s/cgroup.event_control", STR(1));
  _cleanup_close_ int control = open(path, O_WRONLY | O_CLOEXEC);
  if (control < 0) return -errno;
  int size = snprintf(text, sizeof text, "%d %d", oom->event, oom->file);
  return write(control, text, (size_t)size) < 0 ? -errno : 0;
}
