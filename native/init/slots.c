// Slots: the descriptors that operations open and refer to by number.
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "operations.h"

int slot_get(struct state *st, int64_t slot) {
  if (slot == AT_FDCWD) return AT_FDCWD;
  if (slot < 0 || slot >= MAX_SLOTS || st->slots[slot] < 0) return -EBADF;
  return st->slots[slot];
}

int slot_set(struct state *st, int64_t slot, int fd) {
  if (fd < 0) return -errno;
  if (slot < 0 || slot >= MAX_SLOTS) {
    close(fd);
    return -EBADF;
  }
  if (st->slots[slot] >= 0) close(st->slots[slot]);
  st->slots[slot] = fd;
  return 0;
}

int slot_copy(struct state *st, int64_t slot) {
  int fd = slot_get(st, slot);
  return fd < 0 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}
