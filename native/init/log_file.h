// The log's file: written up to its limit, then renamed to NAME.1, which becomes NAME.2 and so on, and begun anew.
#ifndef BERTH_LOG_FILE_H
#define BERTH_LOG_FILE_H
#include <stdint.h>

struct log_file {
  int fd;               // -1: there is none
  int folder;
  char path[4096];
  const char *name;     // the last part of `path`
  uint64_t size, limit; // in bytes; without a limit, 0
  uint32_t count;       // files there may be, the one that is written included
};

// Opens or makes the file; 0 or -errno.
int log_file_open(struct log_file *file, const char *path, uint64_t limit, uint32_t count);
// Opens what is at its path now: somebody else has renamed it.
int log_file_reopen(struct log_file *file);
// Appends whole lines. What a full disk does not take is lost.
void log_file_write(struct log_file *file, const char *lines, uint32_t size);
#endif
