// File operations.
#include "files.h"
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "cleanup.h"

int open_resolved(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
  for (;;) {
    long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof how);
    if (fd >= 0) return (int)fd;
    // EAGAIN: a rename raced with the walk, and the kernel could not prove that it stayed below the root.
    if (errno != EAGAIN && errno != EINTR) return -errno;
  }
}

int open_in_root(int root, const char *path, uint64_t flags) {
  return open_resolved(root, path, flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

int write_all(int fd, const void *bytes, size_t size) {
  const char *at = bytes;
  while (size > 0) {
    ssize_t n = write(fd, at, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -errno;
    at += n;
    size -= (size_t)n;
  }
  return 0;
}

// open(slot, path, flags, mode)
int op_open(struct state *st, const struct arg *args, int argc) {
  return slot_set(st, NUM(0), open(STR(1), (int)NUM(2) | O_CLOEXEC, (mode_t)NUM(3)));
}

// open_at(slot, dir slot, path, flags): openat, for /proc/PID/ns/* which are magic links.
int op_open_at(struct state *st, const struct arg *args, int argc) {
  int dir = slot_folder(st, NUM(1));
  if (dir < 0 && dir != AT_FDCWD) return dir;  // ignored if the path is absolute
  return slot_set(st, NUM(0), openat(dir, STR(2), (int)NUM(3) | O_CLOEXEC));
}

int op_close(struct state *st, const struct arg *args, int argc) {
  int fd = slot_get(st, NUM(0));
  if (fd < 0) return fd;
  close(fd);
  st->slots[NUM(0)] = -1;
  return 0;
}

// mkdir(path, mode): with parents; an existing folder is no error. For host paths only.
int op_mkdir(struct state *st, const struct arg *args, int argc) {
  char path[4096];
  if (args[0].length == 0 || args[0].length >= sizeof path) return -ENAMETOOLONG;
  if (mkdir(STR(0), (mode_t)NUM(1)) == 0 || errno == EEXIST) return 0;
  if (errno != ENOENT) return -errno;
  memcpy(path, STR(0), args[0].length + 1);
  for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = 0;
    if (mkdir(path, (mode_t)NUM(1)) < 0 && errno != EEXIST) return -errno;
    *slash = '/';
  }
  return mkdir(path, (mode_t)NUM(1)) < 0 && errno != EEXIST ? -errno : 0;
}

// Takes what open returned, writes in a single write as cgroup and /proc files require, and closes.
static int write_once(int fd, const struct arg *content) {
  if (fd < 0) return -errno;
  int result = write(fd, content->bytes, content->length) < 0 ? -errno : 0;
  close(fd);
  return result;
}

// write(path, bytes): to an existing file on the host (in a cgroup or below /proc), in a single write.
int op_write(struct state *st, const struct arg *args, int argc) {
  return write_once(open(STR(0), O_WRONLY | O_CLOEXEC | O_NOFOLLOW), &args[1]);
}

// write_first(path, bytes, path, bytes): to the first of two files that exists: the name depends on the kernel.
int op_write_first(struct state *st, const struct arg *args, int argc) {
  int result = op_write(st, args, argc);
  return result == -ENOENT ? op_write(st, args + 2, argc) : result;
}

// write_in(dir slot, path, bytes): below a slot (a verified procfs), without leaving it or its file system.
int op_write_in(struct state *st, const struct arg *args, int argc) {
  int fd = open_resolved(slot_get(st, NUM(0)), STR(1), O_WRONLY, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
  return fd < 0 ? fd : write_once(fd, &args[2]);
}

// enter_cgroup(slot): moves the calling process, through an open `tasks` file of a version 1 cgroup. A thread that moves
// itself does not take the kernel's global lock, which would cost an RCU grace period (5 to 15 ms).
int op_enter_cgroup(struct state *st, const struct arg *args, int argc) {
  return write(slot_get(st, NUM(0)), "0", 1) < 0 ? -errno : 0;
}

int write_proc(pid_t pid, const char *name, const struct arg *content) {
  char path[64];
  if (snprintf(path, sizeof path, "/proc/%d/%s", pid, name) >= (int)sizeof path) return -ENAMETOOLONG;
  return write_once(open(path, O_WRONLY | O_CLOEXEC), content);
}

// write_child(name, bytes): to a file in the new process's /proc/PID: uid_map, gid_map, oom_score_adj.
int op_write_child(struct state *st, const struct arg *args, int argc) { return write_proc(st->child, STR(0), &args[1]); }

// write_pid(path): the new process's pid to a file on the host that moves processes (resctrl's tasks).
int op_write_pid(struct state *st, const struct arg *args, int argc) {
  char pid[16];
  struct arg content = {.bytes = pid, .length = (uint32_t)snprintf(pid, sizeof pid, "%d", st->child)};
  return write_once(open(STR(0), O_WRONLY | O_CLOEXEC | O_NOFOLLOW), &content);
}

// Opens the folder `path` below `root`, created with its parents if missing; the O_PATH descriptor or a negated errno.
static int make_folder(int root, const char *path, mode_t mode, int depth) {
  int found = open_in_root(root, path, O_PATH | O_DIRECTORY);
  if (found != -ENOENT) return found;
  if (depth > 128) return -ELOOP;
  char parent[4096];
  size_t length = strlen(path);
  while (length > 1 && path[length - 1] == '/') length--;
  size_t base = length;
  while (base > 0 && path[base - 1] != '/') base--;
  if (length >= sizeof parent || length - base > 255) return -ENAMETOOLONG;
  char name[256];
  memcpy(name, path + base, length - base);
  name[length - base] = 0;
  memcpy(parent, path, base);
  parent[base] = 0;
  _cleanup_close_ int dir = base == 0 ? open_in_root(root, ".", O_PATH | O_DIRECTORY) : make_folder(root, parent, mode, depth + 1);
  if (dir < 0) return dir;
  char link[4096], target[8192];
  if (mkdirat(dir, name, mode) < 0 && errno != EEXIST) return -errno;
  ssize_t n = readlinkat(dir, name, link, sizeof link - 1);
  if (n < 0) return open_in_root(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
  // A dangling link: its target is created, below the root. An absolute link starts at the root.
  link[n] = 0;
  snprintf(target, sizeof target, "%s/%s", link[0] == '/' ? "" : parent, link);
  return make_folder(root, target, mode, depth + 1);
}

// Opens the folder that contains `path`, created if missing; *name is the last part of the path.
static int open_parent(int root, const char *path, mode_t mode, const char **name) {
  char parent[4096];
  const char *slash = strrchr(path, '/');
  *name = slash ? slash + 1 : path;
  size_t base = (size_t)(*name - path);
  if (base >= sizeof parent || **name == 0) return -EINVAL;
  memcpy(parent, path, base);
  parent[base] = 0;
  return base == 0 ? open_in_root(root, ".", O_PATH | O_DIRECTORY) : make_folder(root, parent, mode, 0);
}

// Creates `path` below `root` as an empty file, with its folders, and opens it; a dangling link's target as in make_folder.
static int make_file(int root, const char *path, mode_t folder_mode, mode_t mode, int depth) {
  char link[4096], target[8192];
  const char *name;
  if (depth > 40) return -ELOOP;
  _cleanup_close_ int dir = open_parent(root, path, folder_mode, &name);
  if (dir < 0) return dir;
  _cleanup_close_ int made = openat(dir, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, mode);
  if (made < 0 && errno != EEXIST) return -errno;
  ssize_t n = made < 0 ? readlinkat(dir, name, link, sizeof link - 1) : -1;
  if (n < 0) return open_in_root(dir, name, O_PATH | O_NOFOLLOW);
  link[n] = 0;
  snprintf(target, sizeof target, "%.*s%s", link[0] == '/' ? 0 : (int)(name - path), path, link);
  int found = open_in_root(root, target, O_PATH);
  return found == -ENOENT ? make_file(root, target, folder_mode, mode, depth + 1) : found;
}

// target(slot, root slot, path, like, resolve, mode of new folders, of a new file): opens a mount point, created if missing: a
// folder (like = -1), a file (-2), or what the slot `like` is; -3: anything that exists. `resolve` adds to RESOLVE_IN_ROOT (no
// links at all, for /proc and /sys).
int op_target(struct state *st, const struct arg *args, int argc) {
  int root = slot_get(st, NUM(1));
  bool file = NUM(3) == -2;
  mode_t folder_mode = (mode_t)NUM(5), file_mode = (mode_t)NUM(6);
  struct stat info;
  if (NUM(3) >= 0) {
    if (fstat(slot_get(st, NUM(3)), &info) < 0) return -errno;
    file = !S_ISDIR(info.st_mode);
  }
  _cleanup_close_ int fd = open_resolved(root, STR(2), O_PATH, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (uint64_t)NUM(4));
  if (fd == -ENOENT && NUM(3) != -3)
    fd = file ? make_file(root, STR(2), folder_mode, file_mode, 0) : make_folder(root, STR(2), folder_mode, 0);
  if (fd < 0) return fd;
  if (NUM(3) != -3 && fstat(fd, &info) == 0 && !S_ISDIR(info.st_mode) != file) return file ? -EISDIR : -ENOTDIR;
  return slot_set(st, NUM(0), take_fd(&fd));
}

// symlink(root slot, path, target, mode of new folders, errnos to ignore...): the path stays below the root; the
// target is not resolved.
int op_symlink(struct state *st, const struct arg *args, int argc) {
  const char *name;
  _cleanup_close_ int dir = open_parent(slot_get(st, NUM(0)), STR(1), (mode_t)NUM(3), &name);
  if (dir < 0) return dir;
  return symlinkat(STR(2), dir, name) < 0 && !is_listed(-errno, args, 4, argc) ? -errno : 0;
}

// mknod(root slot, path, mode, device, uid, gid, mode of new folders): an existing node must be the same device.
int op_mknod(struct state *st, const struct arg *args, int argc) {
  const char *name;
  _cleanup_close_ int dir = open_parent(slot_get(st, NUM(0)), STR(1), (mode_t)NUM(6), &name);
  if (dir < 0) return dir;
  mode_t mode = (mode_t)NUM(2);
  dev_t device = makedev((unsigned)(NUM(3) >> 32), (unsigned)(NUM(3) & 0xffffffff));
  if (mknodat(dir, name, mode & S_IFMT, device) < 0 && errno != EEXIST) return -errno;
  _cleanup_close_ int fd = open_in_root(dir, name, O_PATH | O_NOFOLLOW);
  if (fd < 0) return fd;
  struct stat info;
  if (fstat(fd, &info) < 0) return -errno;
  if ((info.st_mode & S_IFMT) != (mode & S_IFMT) || (!S_ISFIFO(mode) && info.st_rdev != device)) return -EEXIST;
  // Through the descriptor, so that swapping the name has no effect.
  char self[64];
  snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
  return fchownat(fd, "", (uid_t)NUM(4), (gid_t)NUM(5), AT_EMPTY_PATH) < 0 || chmod(self, mode & 07777) < 0 ? -errno : 0;
}

// check_start(proc slot, ticks): -ESRCH unless the process behind an open /proc/PID started then: pids are reused.
int op_check_start(struct state *st, const struct arg *args, int argc) {
  char text[1024];
  _cleanup_close_ int fd = openat(slot_get(st, NUM(0)), "stat", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  ssize_t n = read(fd, text, sizeof text - 1);
  if (n <= 0) return -ESRCH;
  text[n] = 0;
  // The name is in parentheses and may hold any character: count fields from the last one.
  char *field = strrchr(text, ')');
  for (int i = 2; field && i < 22; i++) field = strchr(field + 1, ' ');
  return field && strtoll(field + 1, NULL, 10) == NUM(1) ? 0 : -ESRCH;
}

// check_device(slot, major << 32 | minor): -ENODEV unless it is that character device.
int op_check_device(struct state *st, const struct arg *args, int argc) {
  struct stat info;
  if (fstat(slot_get(st, NUM(0)), &info) < 0) return -errno;
  dev_t device = makedev((unsigned)(NUM(1) >> 32), (unsigned)(NUM(1) & 0xffffffff));
  return S_ISCHR(info.st_mode) && info.st_rdev == device ? 0 : -ENODEV;
}
