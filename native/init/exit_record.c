// Prepares and writes the exit record; see exit_record.h.
#include "exit_record.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "files.h"
#include "keeper.h"

// keep(folder slot, exit record's name, its mode)
int op_keep(struct state *st, const struct arg *args, int argc) {
  struct exit_record *record = &st->keeper->exit;
  if (args[1].length >= sizeof record->name) return -ENAMETOOLONG;
  strcpy(record->name, STR(1));
  record->mode = (mode_t)NUM(2);
  record->folder = slot_copy(st, NUM(0));
  if (record->folder < 0) return record->folder;
  // Reserves the space now, as the disk may be full by then. Where O_TMPFILE is not supported, the file is made at the end.
  static const char room[64];
  record->file = openat(record->folder, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, record->mode);
  if (record->file >= 0 && write_all(record->file, room, sizeof room) < 0) return -errno;
  return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 ? -errno : 0;
}

static bool write_reserved(struct exit_record *record, const char *text, size_t size) {
  return record->file >= 0 && pwrite(record->file, text, size, 0) == (ssize_t)size && ftruncate(record->file, (off_t)size) == 0 &&
         fsync(record->file) == 0 && linkat(record->file, "", record->folder, record->name, AT_EMPTY_PATH) == 0;
}

void exit_record_write(struct exit_record *record, const char *text, size_t size) {
  if (write_reserved(record, text, size)) return;
  char name[300];
  snprintf(name, sizeof name, ".%s.new", record->name);
  int fd = openat(record->folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, record->mode);
  if (fd < 0) return;
  bool whole = write_all(fd, text, size) == 0 && fsync(fd) == 0;
  close(fd);
  // Renamed only when complete: a reader sees either no record or a whole one.
  if (whole) renameat(record->folder, name, record->folder, record->name);
}
