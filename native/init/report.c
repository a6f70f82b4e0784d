// Writes records; see report.h.
#include "report.h"
#include <string.h>
#include <time.h>
#include <unistd.h>

int64_t monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

bool report(int fd, enum record_kind kind, int a, int b, const void *text, uint32_t length) {
  char memory[sizeof(struct record) + 1024];
  if (fd < 0) return false;
  if (length > 1024) length = 1024;
  struct record record = {kind, length, a, b, monotonic_ns()};
  memcpy(memory, &record, sizeof record);
  if (length) memcpy(memory + sizeof record, text, length);
  // One write below PIPE_BUF: records of parent and child never mix.
  return write(fd, memory, sizeof record + length) == (ssize_t)(sizeof record + length);
}
