// Mount operations of the plan: all but one go by descriptor, so a name that is swapped changes nothing.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "files.h"
#include "operations.h"

// linux/mount.h; not included, for it and the libc's sys/mount.h define some names twice.
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
  (void)argc;
  return slot_set(st, NUM(0), (int)syscall(SYS_fsopen, STR(1), CLOEXEC));
}

// What the kernel has to say about a failed fsconfig or fsmount: "e overlay: No changes allowed in reconfigure".
static void kernel_message(struct state *st, int fs) {
  int saved = errno;
  ssize_t n = read(fs, st->detail, sizeof st->detail - 1);
  if (n > 0) st->detail[n] = 0;
  errno = saved;
}

// fsconfig(fs slot, command, key, value, aux): commands as in linux/mount.h; a key or value "" is NULL where it must be.
int op_fsconfig(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  int fs = slot_get(st, NUM(0));
  if (fs < 0) return fs;
  const char *key = args[2].length ? STR(2) : NULL;
  const char *value = NUM(1) == 1 ? STR(3) : NULL;  // FSCONFIG_SET_STRING
  if (syscall(SYS_fsconfig, fs, (unsigned)NUM(1), key, value, (int)NUM(4)) < 0) {
    kernel_message(st, fs);
    return -errno;
  }
  return 0;
}

// fspick(slot, mount slot): the file system behind a mount, to be reconfigured.
int op_fspick(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  int mount = slot_get(st, NUM(1));
  return mount < 0 ? mount : slot_set(st, NUM(0), (int)syscall(SYS_fspick, mount, "", 9u));  // CLOEXEC, EMPTY_PATH
}

// fsmount(slot, fs slot, attributes)
int op_fsmount(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  int fs = slot_get(st, NUM(1));
  if (fs < 0) return fs;
  int fd = (int)syscall(SYS_fsmount, fs, CLOEXEC, (unsigned)NUM(2));
  if (fd < 0) kernel_message(st, fs);
  return slot_set(st, NUM(0), fd);
}

// open_tree(slot, dir slot or -100, path, flags): flags as in open_tree(2).
int op_open_tree(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  int dir = slot_get(st, NUM(1));
  if (dir < 0 && dir != AT_FDCWD) return dir;
  return slot_set(st, NUM(0), (int)syscall(SYS_open_tree, dir, STR(2), (unsigned)NUM(3) | O_CLOEXEC));
}

// mount_setattr(slot, flags, set, clear, propagation, userns slot or -1)
int op_mount_attr(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  int fd = slot_get(st, NUM(0)), userns = 0;
  if (fd < 0) return fd;
  if (NUM(5) >= 0 && (userns = slot_get(st, NUM(5))) < 0) return userns;
  struct mount_attributes attributes = {(uint64_t)NUM(2), (uint64_t)NUM(3), (uint64_t)NUM(4), (uint64_t)userns};
  return set_attributes(fd, "", (unsigned)NUM(1) | AT_EMPTY_PATH, attributes);
}

// mount_flags(slot, mask, value): are the mount's flags (statfs(2)) of the mask these?
int op_mount_flags(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  struct statfs fs;
  int fd = slot_get(st, NUM(0));
  if (fd < 0) return fd;
  if (fstatfs(fd, &fs) < 0) return -errno;
  return ((int64_t)fs.f_flags & NUM(1)) == NUM(2) ? 0 : -EPERM;
}

// move_mount(slot, target slot)
int op_move_mount(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  int from = slot_get(st, NUM(0)), to = slot_get(st, NUM(1));
  if (from < 0 || to < 0) return -EBADF;
  return move_to(from, to);
}

// unmount(procfs slot, slot): the mount that the slot is the root of. umount2 knows names only: the one that the host's
// procfs has for the descriptor is no container's to change.
int op_unmount(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  int proc = slot_get(st, NUM(0)), fd = slot_get(st, NUM(1));
  if (proc < 0 || fd < 0) return -EBADF;
  char name[16];
  snprintf(name, sizeof name, "%d", fd);
  int own = openat(proc, "thread-self/fd", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
  if (own < 0) return -errno;
  int result = fchdir(own) < 0 || umount2(name, MNT_DETACH) < 0 ? -errno : 0;
  close(own);
  return chdir("/") < 0 && result == 0 ? -errno : result;
}

// mount(source, target, type, flags, data): by name, for host paths that only root can change.
int op_mount(struct state *st, const struct arg *args, int argc) {
  (void)st, (void)argc;
  return mount(STR(0), STR(1), STR(2), (unsigned long)NUM(3), args[4].length ? STR(4) : NULL) < 0 ? -errno : 0;
}

// inherit_mode(fs slot, root slot, path): a file system to be gets the permissions of the folder it will cover; where
// there is none yet, it has its own.
int op_inherit_mode(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  int fs = slot_get(st, NUM(0)), root = slot_get(st, NUM(1));
  if (fs < 0 || root < 0) return -EBADF;
  struct stat info;
  char mode[16];
  int covered = open_in_root(root, STR(2), O_PATH | O_DIRECTORY);
  if (covered < 0) return 0;
  int result = fstat(covered, &info) < 0 ? -errno : 0;
  close(covered);
  snprintf(mode, sizeof mode, "%o", info.st_mode & 07777);
  if (result == 0 && syscall(SYS_fsconfig, fs, 1u, "mode", mode, 0) < 0) result = -errno;
  return result;
}

// pivot_root(root slot): the slot's mount becomes "/", the old root goes away.
int op_pivot(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  int root = slot_get(st, NUM(0));
  if (root < 0) return root;
  int old = open("/", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
  if (old < 0) return -errno;
  int result = 0;
  // pivot_root(".", ".") stacks the old root onto the new one (pivot_root(2)): no folder is needed for it.
  if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || fchdir(old) < 0) result = -errno;
  // Slave first, so that unmounting it does not reach the host.
  else if (mount(NULL, ".", NULL, MS_SLAVE | MS_REC, NULL) < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) result = -errno;
  close(old);
  return result;
}

// chroot(root slot, move): without pivot_root, the root mount is moved onto "/"; or it is attached nowhere and stays so.
int op_chroot(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  int root = slot_get(st, NUM(0));
  if (root < 0) return root;
  if (fchdir(root) < 0 || (NUM(1) && mount(".", "/", NULL, MS_MOVE, NULL) < 0) || chroot(".") < 0 || chdir("/") < 0) return -errno;
  return 0;
}

// mask(root slot, path, null slot, folder slot): hides a file behind /dev/null, a folder behind an empty mount.
int op_mask(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  int root = slot_get(st, NUM(0));
  if (root < 0) return root;
  struct stat info;
  int target = open_in_root(root, STR(1), O_PATH);
  // A path that cannot be reached needs no mask: ENOTDIR and EACCES say so as much as ENOENT.
  if (target == -ENOTDIR || target == -EACCES) return 0;
  if (target < 0) return target;
  int result = fstat(target, &info) < 0 ? -errno : 0;
  int source = result < 0 ? result : slot_get(st, S_ISDIR(info.st_mode) ? NUM(3) : NUM(2));
  int copy = source < 0 ? source : clone_tree(source, "", AT_EMPTY_PATH);
  // A mount that is nowhere yet cannot be cloned before Linux 6.15: it goes here itself, and is cloned from then on.
  if (copy == -EINVAL) result = move_to(source, target);
  else result = copy < 0 ? copy : move_to(copy, target);
  if (copy >= 0) close(copy);
  close(target);
  return result;
}

// readonly(root slot, path): the path and all below it, as a read-only mount of its own.
int op_readonly(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  int root = slot_get(st, NUM(0));
  if (root < 0) return root;
  int target = open_in_root(root, STR(1), O_PATH);
  if (target < 0) return target;
  int copy = clone_tree(target, "", AT_EMPTY_PATH | RECURSIVE);
  int result = copy < 0 ? copy : set_attributes(copy, "", AT_EMPTY_PATH | RECURSIVE, (struct mount_attributes){.set = ATTR_RDONLY});
  if (result == 0) result = move_to(copy, target);
  if (copy >= 0) close(copy);
  close(target);
  return result;
}
