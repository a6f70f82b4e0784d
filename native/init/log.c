// The log in CRI format: "2026-01-02T03:04:05.123456789Z stdout F text\n", P instead of F for a part of a line
// that is longer than a buffer. Lines of one read are written with one write.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include "files.h"
#include "keeper.h"

#define LINE_MAX_BYTES 16384u
#define OUT_BYTES 65536u

static char out[OUT_BYTES];
static uint32_t out_used;

static void flush(struct keeper *k) {
  // A full disk must not stop the process: the lines that do not fit are lost, those that come later are not.
  if (out_used) write_all(k->log, out, out_used);
  out_used = 0;
}

// Seconds change rarely: format them once.
static uint32_t stamp(char *text) {
  static time_t last = -1;
  static char prefix[32];
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (now.tv_sec != last) {
    struct tm utc;
    gmtime_r(&now.tv_sec, &utc);
    strftime(prefix, sizeof prefix, "%Y-%m-%dT%H:%M:%S.", &utc);
    last = now.tv_sec;
  }
  memcpy(text, prefix, 20);
  long nanos = now.tv_nsec;
  for (int i = 28; i >= 20; i--, nanos /= 10) text[i] = (char)('0' + nanos % 10);
  text[29] = 'Z';
  return 30;
}

static void emit(struct keeper *k, struct source *s, const char *head, uint32_t head_size, const char *tail, uint32_t tail_size, bool whole) {
  if (OUT_BYTES - out_used < head_size + tail_size + 64) flush(k);
  char *at = out + out_used;
  at += stamp(at);
  *at++ = ' ';
  memcpy(at, s->name, 6);
  at += 6;
  *at++ = ' ';
  *at++ = whole ? 'F' : 'P';
  *at++ = ' ';
  memcpy(at, head, head_size);
  at += head_size;
  memcpy(at, tail, tail_size);
  at += tail_size;
  *at++ = '\n';
  out_used = (uint32_t)(at - out);
}

void log_bytes(struct keeper *k, struct source *s, const char *bytes, uint32_t size) {
  if (!s->line && !(s->line = malloc(LINE_MAX_BYTES))) return;
  while (size > 0) {
    const char *end = memchr(bytes, '\n', size);
    uint32_t n = end ? (uint32_t)(end - bytes) : size;
    if (s->used + n > LINE_MAX_BYTES) {
      n = LINE_MAX_BYTES - s->used;
      emit(k, s, s->line, s->used, bytes, n, false);
      s->used = 0;
    } else if (end) {
      emit(k, s, s->line, s->used, bytes, n, true);
      s->used = 0;
      n++;
    } else {
      memcpy(s->line + s->used, bytes, n);
      s->used += n;
    }
    bytes += n;
    size -= n;
  }
  flush(k);
}

bool log_pump(struct keeper *k, struct source *s) {
  static char in[65536];
  ssize_t n = read(s->pipe, in, sizeof in);
  if (n < 0) return errno == EINTR || errno == EAGAIN;
  if (n == 0) return false;
  log_bytes(k, s, in, (uint32_t)n);
  // The attached client gets the bytes as they came.
  sink_write(&s->copy, in, (uint32_t)n);
  return true;
}

void log_finish(struct keeper *k, struct source *s) {
  if (s->used) emit(k, s, s->line, s->used, "", 0, false);
  s->used = 0;
  flush(k);
}
