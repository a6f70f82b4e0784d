// Opens what the process's standard streams lead to: a client's FIFOs, or pipes into the log.
#include "streams.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "cleanup.h"
#include "keeper.h"

static int open_end(const char *path, int flags) {
  struct stat info;
  _cleanup_close_ int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return -errno;
  if (fstat(fd, &info) < 0 || !S_ISFIFO(info.st_mode)) return -EINVAL;
  return take_fd(&fd);
}

int fifo_open(const char *path, int own, int held, int *hold) {
  // Opening one end blocks until the other is open, so both are open meanwhile.
  _cleanup_close_ int both = open_end(path, O_RDWR | O_NONBLOCK);
  if (both < 0) return both;
  _cleanup_close_ int fd = open_end(path, own);
  *hold = open_end(path, held | O_NONBLOCK);
  return fd < 0 ? fd : *hold < 0 ? *hold : take_fd(&fd);
}

static int set_slot(struct state *st, int64_t slot, int fd) {
  if (fd < 0) errno = -fd;
  return slot_set(st, slot, fd);
}

// fifo_in(slot, path): the process reads the client's FIFO itself. The keeper holds a writing end, so that a client that
// leaves is not an end of file.
int op_fifo_in(struct state *st, const struct arg *args, int argc) {
  return set_slot(st, NUM(0), fifo_open(STR(1), O_RDONLY, O_WRONLY, &st->keeper->stdin_hold));
}

// fifo_out(slot, path): the process writes the client's FIFO itself. The keeper holds a reading end, so that a client that
// vanishes causes no SIGPIPE.
int op_fifo_out(struct state *st, const struct arg *args, int argc) {
  int *hold = &st->keeper->holds[st->keeper->holds[0] < 0 ? 0 : 1];
  return set_slot(st, NUM(0), fifo_open(STR(1), O_WRONLY, O_RDONLY, hold));
}

// log(path, stdout slot, stderr slot, stdout copy slot or -1, stderr copy slot or -1, size limit of a file or 0, number of
// files, mode): makes the process's pipes. A process slot of -1 gets no pipe: its lines come from a terminal.
int op_log(struct state *st, const struct arg *args, int argc) {
  struct keeper *k = st->keeper;
  k->log.limit = (uint64_t)NUM(5);
  k->log.count = (uint32_t)NUM(6);
  k->log.mode = (mode_t)NUM(7);
  int opened = log_file_open(&k->log, STR(0));
  if (opened < 0) return opened;
  for (int i = 0; i < 2; i++) {
    int ends[2];
    if (NUM(1 + i) < 0) continue;
    int copied = NUM(3 + i) < 0 ? 0 : sink_open(&k->sources[i].copy, slot_copy(st, NUM(3 + i)));
    if (copied < 0) return copied;
    if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
    fcntl(ends[0], F_SETPIPE_SZ, 1 << 20);  // fewer wakeups; a host that allows less keeps its default
    k->sources[i].pipe = ends[0];
    int result = slot_set(st, NUM(1 + i), ends[1]);
    if (result < 0) return result;
  }
  return 0;
}

// own_slot(slot, uid, gid): gives a stream to an owner outside of the container.
int op_own_slot(struct state *st, const struct arg *args, int argc) {
  return fchown(slot_get(st, NUM(0)), (uid_t)NUM(1), (gid_t)NUM(2)) < 0 ? -errno : 0;
}

// own_stdio(uid, null device as major << 32 | minor, errnos to ignore...): gives descriptors 0 to 2 to the process's user,
// who could not open /dev/stdout otherwise. The null device belongs to everybody.
int op_own_stdio(struct state *st, const struct arg *args, int argc) {
  dev_t null_device = makedev((unsigned)(NUM(1) >> 32), (unsigned)(NUM(1) & 0xffffffff));
  for (int fd = 0; fd <= 2; fd++) {
    struct stat info;
    int result = fstat(fd, &info) < 0 ? -errno : 0;
    if (result == 0 && (info.st_uid == (uid_t)NUM(0) || (S_ISCHR(info.st_mode) && info.st_rdev == null_device))) continue;
    if (result == 0 && fchown(fd, (uid_t)NUM(0), (gid_t)-1) < 0) result = -errno;
    if (result < 0 && !is_listed(result, args, 2, argc)) return result;
  }
  return 0;
}
