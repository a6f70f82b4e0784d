// Mount operations: all but one go by descriptor, so that swapping a name has no effect.
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "cleanup.h"
#include "files.h"

// From linux/mount.h, which conflicts with the libc's sys/mount.h.
enum { RECURSIVE = 0x8000, MOVE_BY_DESCRIPTOR = 0x44, TREE_CLONE = 1, CLOEXEC = 1, ATTR_RDONLY = 1 };

struct mount_attributes {
  uint64_t set, clear, propagation, userns_fd;
};

static int set_attributes(int fd, const char *path, unsigned flags, struct mount_attributes attributes) {
  return syscall(SYS_mount_setattr, fd, path, flags, &attributes, sizeof attributes) < 0 ? -errno : 0;
}

static int move_to(int from, int to) {
  long n = syscall(SYS_move_mount, from, "", to, "", MOVE_BY_DESCRIPTOR);
  return n < 0 ? -errno : 0;
}

static int clone_tree(int fd, const char *path, unsigned flags) {
  long tree = syscall(SYS_open_tree, fd, path, flags | TREE_CLONE | O_CLOEXEC);
  return tree < 0 ? -errno : (int)tree;
}

// fsopen(slot, type)
int op_fsopen(struct state *st, const struct arg *args, int argc) {
  return slot_set(st, NUM(0), (int)syscall(SYS_fsopen, STR(1), CLOEXEC));
}

// The kernel's message on a failed fsconfig or fsmount: "e overlay: No changes allowed in reconfigure".
static void kernel_message(struct state *st, int fs) {
  int saved = errno;
  ssize_t n = read(fs, st->detail, sizeof st->detail - 1);
  if (n > 0) st->detail[n] = 0;
  errno = saved;
}

// fsconfig(fs slot, command, key, value, aux): commands as in linux/mount.h. An empty key is NULL.
int op_fsconfig(struct state *st, const struct arg *args, int argc) {
  int fs = slot_get(st, NUM(0));
  const char *key = args[2].length ? STR(2) : NULL;
  const char *value = NUM(1) == 1 ? STR(3) : NULL;  // FSCONFIG_SET_STRING
  if (syscall(SYS_fsconfig, fs, (unsigned)NUM(1), key, value, (int)NUM(4)) == 0) return 0;
  kernel_message(st, fs);
  return -errno;
}

// fspick(slot, mount slot): opens the file system behind a mount for reconfiguration.
int op_fspick(struct state *st, const struct arg *args, int argc) {
  return slot_set(st, NUM(0), (int)syscall(SYS_fspick, slot_get(st, NUM(1)), "", 9u));  // CLOEXEC, EMPTY_PATH
}

// fsmount(slot, fs slot, attributes)
int op_fsmount(struct state *st, const struct arg *args, int argc) {
  int fs = slot_get(st, NUM(1)), fd = (int)syscall(SYS_fsmount, fs, CLOEXEC, (unsigned)NUM(2));
  if (fd < 0) kernel_message(st, fs);
  return slot_set(st, NUM(0), fd);
}

// open_tree(slot, dir slot or -100, path, flags): flags as in open_tree(2).
int op_open_tree(struct state *st, const struct arg *args, int argc) {
  int dir = slot_folder(st, NUM(1));
  if (dir < 0 && dir != AT_FDCWD) return dir;  // ignored if the path is absolute
  return slot_set(st, NUM(0), (int)syscall(SYS_open_tree, dir, STR(2), (unsigned)NUM(3) | O_CLOEXEC));
}

// mount_setattr(slot, flags, set, clear, propagation, userns slot or -1)
int op_mount_attr(struct state *st, const struct arg *args, int argc) {
  int userns = 0;
  if (NUM(5) >= 0 && (userns = slot_get(st, NUM(5))) < 0) return userns;
  struct mount_attributes attributes = {(uint64_t)NUM(2), (uint64_t)NUM(3), (uint64_t)NUM(4), (uint64_t)userns};
  return set_attributes(slot_get(st, NUM(0)), "", (unsigned)NUM(1) | AT_EMPTY_PATH, attributes);
}

// mount_flags(slot, mask, value): -EPERM unless the mount's flags (statfs(2)) under the mask equal the value.
int op_mount_flags(struct state *st, const struct arg *args, int argc) {
  struct statfs fs;
  if (fstatfs(slot_get(st, NUM(0)), &fs) < 0) return -errno;
  return ((int64_t)fs.f_flags & NUM(1)) == NUM(2) ? 0 : -EPERM;
}

// move_mount(slot, target slot)
int op_move_mount(struct state *st, const struct arg *args, int argc) {
  return move_to(slot_get(st, NUM(0)), slot_get(st, NUM(1)));
}

// unmount(procfs slot, slot): detaches the mount whose root the slot is. umount2 takes names only: the descriptor's name in the
// host's procfs cannot be changed by a container.
int op_unmount(struct state *st, const struct arg *args, int argc) {
  int proc = slot_get(st, NUM(0)), fd = slot_get(st, NUM(1));
  if (proc < 0 || fd < 0) return -EBADF;
  char name[16];
  snprintf(name, sizeof name, "%d", fd);
  _cleanup_close_ int own = openat(proc, "thread-self/fd", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
  if (own < 0) return -errno;
  int result = fchdir(own) < 0 || umount2(name, MNT_DETACH) < 0 ? -errno : 0;
  return chdir("/") < 0 && result == 0 ? -errno : result;
}

// mount(source, target, type, flags, data): by name, for host paths that only root can change.
int op_mount(struct state *st, const struct arg *args, int argc) {
  return mount(STR(0), STR(1), STR(2), (unsigned long)NUM(3), args[4].length ? STR(4) : NULL) < 0 ? -errno : 0;
}

// inherit_mode(fs slot, root slot, path, errnos...): a new file system gets the permissions of the folder it will cover. It
// keeps its own where opening that folder fails with one of the errnos.
int op_inherit_mode(struct state *st, const struct arg *args, int argc) {
  struct stat info;
  char mode[16];
  _cleanup_close_ int covered = open_in_root(slot_get(st, NUM(1)), STR(2), O_PATH | O_DIRECTORY);
  if (covered < 0) return is_listed(covered, args, 3, argc) ? 0 : covered;
  if (fstat(covered, &info) < 0) return -errno;
  snprintf(mode, sizeof mode, "%o", info.st_mode & 07777);
  return syscall(SYS_fsconfig, slot_get(st, NUM(0)), 1u, "mode", mode, 0) < 0 ? -errno : 0;
}

// pivot_root(root slot): the slot's mount becomes "/", the old root is detached.
int op_pivot(struct state *st, const struct arg *args, int argc) {
  int root = slot_get(st, NUM(0));
  _cleanup_close_ int old = open("/", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
  if (old < 0) return -errno;
  // pivot_root(".", ".") stacks the old root onto the new one (pivot_root(2)), so it needs no folder of its own.
  if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || fchdir(old) < 0) return -errno;
  // A slave first, so that the unmount does not propagate to the host.
  if (mount(NULL, ".", NULL, MS_SLAVE | MS_REC, NULL) < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) return -errno;
  return 0;
}

// chroot(root slot, move): instead of pivot_root. Moves the root mount onto "/" first, or leaves it detached.
int op_chroot(struct state *st, const struct arg *args, int argc) {
  if (fchdir(slot_get(st, NUM(0))) < 0 || (NUM(1) && mount(".", "/", NULL, MS_MOVE, NULL) < 0) || chroot(".") < 0 || chdir("/") < 0)
    return -errno;
  return 0;
}

// mask(root slot, path, null slot, folder slot, errnos...): hides a file behind /dev/null, a folder behind an empty mount. A path
// that cannot be opened for one of the errnos needs no mask.
int op_mask(struct state *st, const struct arg *args, int argc) {
  struct stat info;
  _cleanup_close_ int target = open_in_root(slot_get(st, NUM(0)), STR(1), O_PATH);
  if (target < 0) return is_listed(target, args, 4, argc) ? 0 : target;
  if (fstat(target, &info) < 0) return -errno;
  int source = slot_get(st, S_ISDIR(info.st_mode) ? NUM(3) : NUM(2));
  if (source < 0) return source;
  _cleanup_close_ int copy = clone_tree(source, "", AT_EMPTY_PATH);
  // Before Linux 6.15 a detached mount cannot be cloned: it is attached here itself, and cloned from then on.
  if (copy == -EINVAL) return move_to(source, target);
  return copy < 0 ? copy : move_to(copy, target);
}

// readonly(root slot, path): the path and everything below it, as a read-only mount of its own.
int op_readonly(struct state *st, const struct arg *args, int argc) {
  _cleanup_close_ int target = open_in_root(slot_get(st, NUM(0)), STR(1), O_PATH);
  if (target < 0) return target;
  _cleanup_close_ int copy = clone_tree(target, "", AT_EMPTY_PATH | RECURSIVE);
  if (copy < 0) return copy;
  int result = set_attributes(copy, "", AT_EMPTY_PATH | RECURSIVE, (struct mount_attributes){.set = ATTR_RDONLY});
  return result < 0 ? result : move_to(copy, target);
}
