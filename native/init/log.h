// The log in CRI format, fed by the process's output streams.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "log_file.h"
#include "sink.h"

// One stream that is formatted into the log: the read end of the process's pipe, and a client that gets a copy.
struct source {
  int pipe;
  struct sink copy;
  const char *name;  // "stdout" or "stderr"
  uint32_t used;     // bytes of an unfinished line in `line`
  bool few;          // the last read brought little
  char *line;
};

// Logs what has come on a stream; false at its end.
bool log_pump(struct log_file *file, struct source *source);
// Logs bytes that came over a terminal.
void log_bytes(struct log_file *file, struct source *source, const char *bytes, uint32_t size);
// Logs an unfinished line at the end of the stream.
void log_finish(struct log_file *file, struct source *source);
// Finishes a stream and closes both its ends.
void log_end(struct log_file *file, struct source *source);
