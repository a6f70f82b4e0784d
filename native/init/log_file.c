// A log file that rotates; see log_file.h.
#include "log_file.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "cleanup.h"
#include "files.h"

int log_file_open(struct log_file *file, const char *path) {
  char *slash;
  if (strlen(path) >= sizeof file->path) return -ENAMETOOLONG;
  strcpy(file->path, path);
  if (!(slash = strrchr(file->path, '/'))) return -EINVAL;
  file->name = slash + 1;
  if (file->count == 0) file->count = 1;
  *slash = 0;
  file->folder = open(slash == file->path ? "/" : file->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  *slash = '/';
  return file->folder < 0 ? -errno : log_file_reopen(file);
}

int log_file_reopen(struct log_file *file) {
  struct stat info;
  int fd = openat(file->folder, file->name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, file->mode);
  if (fd < 0) return -errno;
  file->size = fstat(fd, &info) < 0 ? 0 : (uint64_t)info.st_size;
  close_fd(&file->fd);
  file->fd = fd;
  return 0;
}

static void rotate(struct log_file *file) {
  char from[300], to[300];
  for (uint32_t n = file->count - 1; n > 0; n--) {
    snprintf(from, sizeof from, n > 1 ? "%s.%u" : "%s", file->name, n - 1);
    snprintf(to, sizeof to, "%s.%u", file->name, n);
    renameat(file->folder, from, file->folder, to);
  }
  if (file->count == 1) unlinkat(file->folder, file->name, 0);
  // Without room for a new file the old one goes back and grows; the next attempt comes after another `limit` bytes.
  if (log_file_reopen(file) < 0 && file->count > 1) renameat(file->folder, to, file->folder, file->name);
  if (file->size >= file->limit) file->size = 0;
}

void log_file_write(struct log_file *file, const char *lines, uint32_t size) {
  write_all(file->fd, lines, size);
  file->size += size;
  if (file->limit && file->size >= file->limit) rotate(file);
}
