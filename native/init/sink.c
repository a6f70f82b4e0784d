// Outputs to clients; see sink.h.
#include "sink.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SETTLE_MS = 10000 };

int sink_open(struct sink *sink, int fd) {
  sink->fd = fd;
  if (fd < 0) return fd;
  return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0 ? -errno : 0;
}

void sink_close(struct sink *sink) {
  if (sink->fd >= 0) close(sink->fd);
  free(sink->kept);
  *sink = (struct sink){.fd = -1};
}

void sink_write(struct sink *sink, const char *bytes, uint32_t size) {
  while (sink->fd >= 0 && size > 0) {
    ssize_t n = write(sink->fd, bytes, size);
    if (n >= 0) bytes += n, size -= (uint32_t)n;
    else if (errno == EAGAIN && (sink->kept = malloc(size))) {
      memcpy(sink->kept, bytes, size);
      sink->size = size, sink->sent = 0;
      return;
    } else if (errno != EINTR) sink_close(sink);  // EPIPE, or a bad descriptor: the client has left
  }
}

void sink_flush(struct sink *sink) {
  ssize_t n = write(sink->fd, sink->kept + sink->sent, sink->size - sink->sent);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n < 0) sink_close(sink);
  else if ((sink->sent += (uint32_t)n) == sink->size) free(sink->kept), sink->kept = NULL;
}

void sink_settle(struct sink *sink) {
  struct pollfd ready = {sink->fd, POLLOUT, 0};
  while (sink->kept && poll(&ready, 1, SETTLE_MS) > 0) sink_flush(sink);
  if (sink->kept) sink_close(sink);
}
