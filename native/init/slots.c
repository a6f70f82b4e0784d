// Slots: the descriptors that operations open and refer to by number.
#include <fcntl.h>
#include <unistd.h>
#include "operations.h"

int slot_get(struct state *st, int64_t slot) {
  if (slot < 0 || slot >= MAX_SLOTS || st->slots[slot] < 0) return -EBADF;
  return st->slots[slot];
}

int slot_folder(struct state *st, int64_t slot) { return slot == AT_FDCWD ? AT_FDCWD : slot_get(st, slot); }

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
  int copy = fcntl(slot_get(st, slot), F_DUPFD_CLOEXEC, 3);
  return copy < 0 ? -errno : copy;
}
