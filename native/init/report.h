// Records that berth-init sends to packages/runtime: a stream of fixed headers, each followed by text.
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum record_kind {
  RECORD_PID = 1,      // a: the process as the host sees it
  RECORD_FAILED = 2,   // a: section << 16 | operation, b: errno; text: detail. The last record.
  RECORD_WARNING = 3,  // the same, for an optional operation
  RECORD_MARK = 4,     // a: number of the stage that begins, for berth trace
  RECORD_READY = 5,    // the process waits for its exec FIFO, or is about to execute
  RECORD_EXIT = 6,     // a: exit code or 128 + signal
};

struct record {
  uint32_t kind, length;
  int32_t a, b;
  int64_t time;  // CLOCK_MONOTONIC, nanoseconds
};

// Writes one record; false if the reader is gone.
bool report(int fd, enum record_kind kind, int a, int b, const void *text, uint32_t length);
int64_t monotonic_ns(void);
