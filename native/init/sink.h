// An output that nobody may be reading: what it does not take at once is kept, and its source waits until it does.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct sink {
  int fd;
  char *kept;
  uint32_t size, sent;
};

// Takes ownership of a descriptor and makes it non-blocking; passes on a negated errno.
int sink_open(struct sink *sink, int fd);
void sink_write(struct sink *sink, const char *bytes, uint32_t size);
// Writes what was kept, as far as the reader takes it.
void sink_flush(struct sink *sink);
// Gives a slow reader time to take what was kept; closes the sink if it does not.
void sink_settle(struct sink *sink);
void sink_close(struct sink *sink);
