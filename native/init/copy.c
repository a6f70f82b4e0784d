// tmpcopyup: copies what the image has at a place into the file system that is mounted over it.
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "cleanup.h"
#include "files.h"

enum { DEEPEST = 256 };

static int copy_content(int from, int to) {
  ssize_t n;
  while ((n = sendfile(to, from, NULL, 1 << 20)) > 0) continue;
  return n < 0 ? -errno : 0;
}

// Extended attributes, including file capabilities, as far as the file system supports them.
static void copy_attributes(int from, int to) {
  char names[4096], value[65536];
  ssize_t length = flistxattr(from, names, sizeof names);
  for (ssize_t at = 0; at < length; at += (ssize_t)strlen(names + at) + 1) {
    ssize_t n = fgetxattr(from, names + at, value, sizeof value);
    if (n >= 0) fsetxattr(to, names + at, value, (size_t)n, 0);
  }
}

static int finish(int from, int to, const struct stat *info) {
  if (fchown(to, info->st_uid, info->st_gid) < 0 || fchmod(to, info->st_mode & 07777) < 0) return -errno;
  copy_attributes(from, to);
  return futimens(to, (struct timespec[]){info->st_atim, info->st_mtim}) < 0 ? -errno : 0;
}

static int copy_folder(int from, int to, int depth);

// One entry of a folder; no link is followed. Until finish() nobody but root may open the copy.
static int copy_entry(int from, int to, const char *name, int depth) {
  char target[4096];
  struct stat info;
  if (fstatat(from, name, &info, AT_SYMLINK_NOFOLLOW) < 0) return -errno;
  if (S_ISLNK(info.st_mode)) {
    ssize_t n = readlinkat(from, name, target, sizeof target - 1);
    if (n < 0) return -errno;
    target[n] = 0;
    if (symlinkat(target, to, name) < 0) return -errno;
    return fchownat(to, name, info.st_uid, info.st_gid, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
  }
  if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode)) {
    if (mknodat(to, name, info.st_mode, info.st_rdev) < 0) return -errno;
    return fchownat(to, name, info.st_uid, info.st_gid, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
  }
  bool folder = S_ISDIR(info.st_mode);
  if (folder && mkdirat(to, name, 0700) < 0) return -errno;
  _cleanup_close_ int source = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (folder ? O_DIRECTORY : 0));
  if (source < 0) return -errno;
  int how = folder ? O_RDONLY | O_DIRECTORY : O_WRONLY | O_CREAT | O_EXCL;
  _cleanup_close_ int copy = openat(to, name, how | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (copy < 0) return -errno;
  int result = folder ? copy_folder(source, copy, depth + 1) : copy_content(source, copy);
  return result < 0 ? result : finish(source, copy, &info);
}

static int copy_folder(int from, int to, int depth) {
  if (depth > DEEPEST) return -ELOOP;
  _cleanup_close_ int own = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *folder = own < 0 ? NULL : fdopendir(own);
  if (!folder) return -errno;
  take_fd(&own);  // closedir closes it
  int result = 0;
  for (struct dirent *entry; result == 0 && (errno = 0, entry = readdir(folder));)
    if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) result = copy_entry(from, to, entry->d_name, depth);
  closedir(folder);
  return result;
}

// copy_up(target slot, mount slot): copies the folder behind the target, with its mode and owner, into a detached mount.
int op_copy_up(struct state *st, const struct arg *args, int argc) {
  struct stat info;
  _cleanup_close_ int from = openat(slot_get(st, NUM(0)), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (from < 0) return -errno;
  _cleanup_close_ int to = openat(slot_get(st, NUM(1)), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (to < 0 || fstat(from, &info) < 0) return -errno;
  int result = copy_folder(from, to, 0);
  return result < 0 ? result : finish(from, to, &info);
}
