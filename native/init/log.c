// The log in CRI format: "2026-01-02T03:04:05.123456789Z stdout F text\n", P instead of F for a part of a line
// that is longer than a buffer. Lines of one read go out in one write.
#include "log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "cleanup.h"

// OUT_BYTES holds what one full read of short lines turns into. Lines are copied in pieces of a fixed size, which compile to
// plain moves: three times as fast as musl's memcpy.
enum { LINE_MAX_BYTES = 16384, OUT_BYTES = 98304, HEAD_BYTES = 40, PIECE = 16 };
// A read that follows soon after one of few bytes is delayed: a process that writes line by line would otherwise cause a
// wakeup for each.
enum { FEW_BYTES = 16384, SOON_NS = 1000000, NAP_US = 200 };

static char out[OUT_BYTES], line_head[64];  // line_head: the beginning of every line of one read
static uint32_t out_used;
static struct timespec stamped;

static void flush(struct log_file *file) {
  // A full disk must not stop the process: lines that do not fit are lost, later ones are not.
  if (out_used) log_file_write(file, out, out_used);
  out_used = 0;
}

// Seconds are formatted only when they change.
static void stamp(const char *name) {
  static time_t last = -1;
  clock_gettime(CLOCK_REALTIME, &stamped);
  if (stamped.tv_sec != last) {
    struct tm utc;
    gmtime_r(&stamped.tv_sec, &utc);
    strftime(line_head, sizeof line_head, "%Y-%m-%dT%H:%M:%S.", &utc);
    last = stamped.tv_sec;
  }
  long nanos = stamped.tv_nsec;
  for (int i = 28; i >= 20; i--, nanos /= 10) line_head[i] = (char)('0' + nanos % 10);
  memcpy(line_head + 29, "Z stdout   ", 11);
  memcpy(line_head + 31, name, 6);
}

static char *append(char *at, const char *from, uint32_t size) {
  uint32_t i = 0;
  for (; size - i >= PIECE; i += PIECE) memcpy(at + i, from + i, PIECE);
  if (size >= PIECE) memcpy(at + size - PIECE, from + size - PIECE, PIECE);
  else memcpy(at, from, size);
  return at + size;
}

static void emit(struct log_file *file, const char *head, uint32_t head_size, const char *tail, uint32_t tail_size, bool whole) {
  if (OUT_BYTES - out_used < head_size + tail_size + HEAD_BYTES + 1) flush(file);
  char *at = out + out_used;
  memcpy(at, line_head, HEAD_BYTES);
  at[38] = whole ? 'F' : 'P';
  at = append(append(at + HEAD_BYTES, head, head_size), tail, tail_size);
  *at++ = '\n';
  out_used = (uint32_t)(at - out);
}

void log_bytes(struct log_file *file, struct source *s, const char *bytes, uint32_t size) {
  if (!s->line && !(s->line = malloc(LINE_MAX_BYTES))) return;
  stamp(s->name);
  while (size > 0) {
    const char *end = memchr(bytes, '\n', size);
    uint32_t n = end ? (uint32_t)(end - bytes) : size;
    if (s->used + n > LINE_MAX_BYTES) {
      n = LINE_MAX_BYTES - s->used;
      emit(file, s->line, s->used, bytes, n, false);
      s->used = 0;
    } else if (end) {
      emit(file, s->line, s->used, bytes, n, true);
      s->used = 0;
      n++;
    } else {
      memcpy(s->line + s->used, bytes, n);
      s->used += n;
    }
    bytes += n;
    size -= n;
  }
  flush(file);
}

bool log_pump(struct log_file *file, struct source *s) {
  static char in[65536];
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  int64_t passed = (int64_t)(now.tv_sec - stamped.tv_sec) * 1000000000 + now.tv_nsec - stamped.tv_nsec;
  if (s->few && passed >= 0 && passed < SOON_NS) usleep(NAP_US);
  ssize_t n = read(s->pipe, in, sizeof in);
  if (n < 0) return errno == EINTR || errno == EAGAIN;
  if (n == 0) return false;
  s->few = n < FEW_BYTES;
  log_bytes(file, s, in, (uint32_t)n);
  // The attached client gets the raw bytes.
  sink_write(&s->copy, in, (uint32_t)n);
  return true;
}

void log_finish(struct log_file *file, struct source *s) {
  stamp(s->name);
  if (s->used) emit(file, s->line, s->used, "", 0, false);
  s->used = 0;
  flush(file);
}

void log_end(struct log_file *file, struct source *s) {
  log_finish(file, s);
  close_fd(&s->pipe);
  sink_close(&s->copy);
}
