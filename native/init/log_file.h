// The log's file: at its limit it is renamed to NAME.1, that to NAME.2 and so on, and a new one begins.
#pragma once
#include <stdint.h>
#include <sys/types.h>

struct log_file {
  int fd;  // -1: there is none
  int folder;
  char path[4096];
  const char *name;      // the last part of `path`
  uint64_t size, limit;  // in bytes; limit 0: none
  uint32_t count;        // number of files to keep, the current one included
  mode_t mode;           // of new files
};

// Opens or creates the file at `path`, its other fields set; 0 or a negated errno.
int log_file_open(struct log_file *file, const char *path);
// Opens what is at its path now, after it was renamed by someone else.
int log_file_reopen(struct log_file *file);
// Appends whole lines; those that do not fit on a full disk are lost.
void log_file_write(struct log_file *file, const char *lines, uint32_t size);
