// File operations of the plan.
#include "files.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "operations.h"

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
  (void)argc;
  return slot_set(st, NUM(0), open(STR(1), (int)NUM(2) | O_CLOEXEC, (mode_t)NUM(3)));
}

// open_at(slot, dir slot, path, flags): openat, for /proc/PID/ns/* which are magic links.
int op_open_at(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  int dir = slot_get(st, NUM(1));
  if (dir < 0 && dir != AT_FDCWD) return dir;
  return slot_set(st, NUM(0), openat(dir, STR(2), (int)NUM(3) | O_CLOEXEC));
}

int op_close(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  int fd = slot_get(st, NUM(0));
  if (fd < 0) return fd;
  close(fd);
  st->slots[NUM(0)] = -1;
  return 0;
}

// mkdir(path, mode): parents included, host paths only; that it is there already is no error.
int op_mkdir(struct state *st, const struct arg *args, int argc) {
  (void)argc, (void)st;
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

// Writes in one write, as cgroup and /proc files want it, and closes; errno tells when `fd` is -1.
static int write_once(int fd, const struct arg *content) {
  if (fd < 0) return -errno;
  int result = write(fd, content->bytes, content->length) < 0 ? -errno : 0;
  close(fd);
  return result;
}

// write(path, bytes): to an existing file of the host (a cgroup's, or one below /proc), in one write.
int op_write(struct state *st, const struct arg *args, int argc) {
  (void)st, (void)argc;
  return write_once(open(STR(0), O_WRONLY | O_CLOEXEC | O_NOFOLLOW), &args[1]);
}

// write_first(path, bytes, path, bytes): into the first of two files, the names of which differ from kernel to kernel.
int op_write_first(struct state *st, const struct arg *args, int argc) {
  int result = op_write(st, args, argc);
  return result == -ENOENT ? op_write(st, args + 2, argc) : result;
}

// write_in(dir slot, path, bytes): below a slot (a procfs that is known to be one), without leaving it or its file system.
int op_write_in(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  int dir = slot_get(st, NUM(0));
  if (dir < 0) return dir;
  int fd = open_resolved(dir, STR(1), O_WRONLY, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
  return fd < 0 ? fd : write_once(fd, &args[2]);
}

// enter_cgroup(slot): the calling process into an open `tasks` file of a version 1 cgroup. A thread that moves itself
// spares the kernel its global lock, and us the wait for it (an RCU grace period, 5 to 15 ms).
int op_enter_cgroup(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  int fd = slot_get(st, NUM(0));
  return fd < 0 ? fd : write(fd, "0", 1) < 0 ? -errno : 0;
}

int write_proc(pid_t pid, const char *name, const struct arg *content) {
  char path[64];
  if (snprintf(path, sizeof path, "/proc/%d/%s", pid, name) >= (int)sizeof path) return -ENAMETOOLONG;
  return write_once(open(path, O_WRONLY | O_CLOEXEC), content);
}

// write_child(name, bytes): into a file of /proc/PID of the new process: uid_map, gid_map, oom_score_adj.
int op_write_child(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  return write_proc(st->child, STR(0), &args[1]);
}

// write_pid(path): the new process's pid into a file of the host that moves processes (resctrl's tasks).
int op_write_pid(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  char pid[16];
  struct arg content = {.bytes = pid, .length = (uint32_t)snprintf(pid, sizeof pid, "%d", st->child)};
  return write_once(open(STR(0), O_WRONLY | O_CLOEXEC | O_NOFOLLOW), &content);
}

// Makes `path` below `root` as a folder, with its parents; the O_PATH descriptor or a negated errno.
static int make_folder(int root, const char *path, int depth) {
  int fd = open_in_root(root, path, O_PATH | O_DIRECTORY);
  if (fd != -ENOENT) return fd;
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
  int dir = base == 0 ? open_in_root(root, ".", O_PATH | O_DIRECTORY) : make_folder(root, parent, depth + 1);
  if (dir < 0) return dir;
  char link[4096];
  int result = mkdirat(dir, name, 0755) < 0 && errno != EEXIST ? -errno : 0;
  ssize_t n = result == 0 ? readlinkat(dir, name, link, sizeof link - 1) : -1;
  if (result == 0 && n < 0) result = open_in_root(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
  close(dir);
  if (n < 0) return result;
  // A link that leads nowhere: what it means inside the root is made. One that is absolute starts at the root.
  char target[8192];
  link[n] = 0;
  snprintf(target, sizeof target, "%s/%s", link[0] == '/' ? "" : parent, link);
  return make_folder(root, target, depth + 1);
}

// Opens the folder a path lies in, made if it is missing; *name is its last part.
static int open_parent(int root, const char *path, const char **name) {
  char parent[4096];
  const char *slash = strrchr(path, '/');
  *name = slash ? slash + 1 : path;
  size_t base = (size_t)(*name - path);
  if (base >= sizeof parent || **name == 0) return -EINVAL;
  memcpy(parent, path, base);
  parent[base] = 0;
  return base == 0 ? open_in_root(root, ".", O_PATH | O_DIRECTORY) : make_folder(root, parent, 0);
}

// Makes `path` below `root` as an empty file, with its folders; where a link leads nowhere, what it means inside the root.
static int make_file(int root, const char *path, int depth) {
  char link[4096], target[8192];
  const char *name;
  if (depth > 40) return -ELOOP;
  int dir = open_parent(root, path, &name);
  if (dir < 0) return dir;
  int made = openat(dir, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644);
  int result = made < 0 ? -errno : 0;
  if (made >= 0) close(made);
  ssize_t n = result == -EEXIST ? readlinkat(dir, name, link, sizeof link - 1) : -1;
  if ((result == 0 || result == -EEXIST) && n < 0) result = open_in_root(dir, name, O_PATH | O_NOFOLLOW);
  close(dir);
  if (n < 0) return result;
  link[n] = 0;
  snprintf(target, sizeof target, "%.*s%s", link[0] == '/' ? 0 : (int)(name - path), path, link);
  int there = open_in_root(root, target, O_PATH);
  return there == -ENOENT ? make_file(root, target, depth + 1) : there;
}

// target(slot, root slot, path, like, resolve): where a mount goes, made if it is missing: a folder (like = -1), a
// file (-2), or what the slot `like` is; -3: whatever is there. `resolve` adds to RESOLVE_IN_ROOT (no links at all, for /proc and /sys).
int op_target(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  int root = slot_get(st, NUM(1));
  if (root < 0) return root;
  bool file = NUM(3) == -2;
  struct stat info;
  if (NUM(3) >= 0) {
    int like = slot_get(st, NUM(3));
    if (like < 0) return like;
    if (fstat(like, &info) < 0) return -errno;
    file = !S_ISDIR(info.st_mode);
  }
  int fd = open_resolved(root, STR(2), O_PATH, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (uint64_t)NUM(4));
  if (fd == -ENOENT && NUM(3) != -3) fd = file ? make_file(root, STR(2), 0) : make_folder(root, STR(2), 0);
  if (fd < 0) errno = -fd;
  if (fd >= 0 && NUM(3) != -3 && fstat(fd, &info) == 0 && !S_ISDIR(info.st_mode) != file) {
    close(fd);
    return file ? -EISDIR : -ENOTDIR;
  }
  return slot_set(st, NUM(0), fd);
}

// symlink(root slot, path, target): the link's text is data; its own path stays in the root.
int op_symlink(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  const char *name;
  int root = slot_get(st, NUM(0)), dir = root < 0 ? root : open_parent(root, STR(1), &name);
  if (dir < 0) return dir;
  int result = symlinkat(STR(2), dir, name) < 0 && errno != EEXIST ? -errno : 0;
  close(dir);
  return result;
}

// mknod(root slot, path, mode, device, uid, gid): an existing node must be the same device.
int op_mknod(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  const char *name;
  int root = slot_get(st, NUM(0)), dir = root < 0 ? root : open_parent(root, STR(1), &name);
  if (dir < 0) return dir;
  mode_t mode = (mode_t)NUM(2);
  dev_t device = makedev((unsigned)(NUM(3) >> 32), (unsigned)(NUM(3) & 0xffffffff));
  struct stat info;
  int result = 0;
  if (mknodat(dir, name, mode & S_IFMT, device) < 0 && errno != EEXIST) result = -errno;
  int fd = result < 0 ? result : open_in_root(dir, name, O_PATH | O_NOFOLLOW);
  if (fd >= 0) {
    // Through the descriptor, so that a swap of the name changes nothing.
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    if (fstat(fd, &info) < 0) result = -errno;
    else if ((info.st_mode & S_IFMT) != (mode & S_IFMT) || (!S_ISFIFO(mode) && info.st_rdev != device)) result = -EEXIST;
    else if (fchownat(fd, "", (uid_t)NUM(4), (gid_t)NUM(5), AT_EMPTY_PATH) < 0 || chmod(self, mode & 07777) < 0) result = -errno;
    close(fd);
  } else {
    result = fd;
  }
  close(dir);
  return result;
}

// check_start(proc slot, ticks): is the process behind an open /proc/PID the one that was meant?
int op_check_start(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  char text[1024];
  int dir = slot_get(st, NUM(0));
  if (dir < 0) return dir;
  int fd = openat(dir, "stat", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  if (n <= 0) return -ESRCH;
  text[n] = 0;
  // The name is in parentheses and may hold any character: count fields from the last one.
  char *field = strrchr(text, ')');
  for (int i = 2; field && i < 22; i++) field = strchr(field + 1, ' ');
  return field && strtoll(field + 1, NULL, 10) == NUM(1) ? 0 : -ESRCH;
}

// check_device(slot, major << 32 | minor): is it that character device?
int op_check_device(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  struct stat info;
  int fd = slot_get(st, NUM(0));
  if (fd < 0) return fd;
  if (fstat(fd, &info) < 0) return -errno;
  dev_t device = makedev((unsigned)(NUM(1) >> 32), (unsigned)(NUM(1) & 0xffffffff));
  return S_ISCHR(info.st_mode) && info.st_rdev == device ? 0 : -ENODEV;
}
