// berth-init --log; see logger.h.
#include "logger.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "cleanup.h"
#include "log.h"
#include "streams.h"

static uint64_t number(const char *text) { return text ? strtoull(text, NULL, 10) : 0; }

int logger_run(char *where) {
  static struct source sources[2] = {{.pipe = 3, .copy = {.fd = -1}, .name = "stdout"},
                                     {.pipe = 4, .copy = {.fd = -1}, .name = "stderr"}};
  char *lines[6];
  for (int i = 0; i < 6; i++) lines[i] = strsep(&where, "\n");
  signal(SIGPIPE, SIG_IGN);
  struct log_file file = {
      .fd = -1, .limit = number(lines[3]), .count = (uint32_t)number(lines[4]), .mode = (mode_t)number(lines[5])};
  if (log_file_open(&file, lines[0]) < 0) return 1;
  for (int i = 0; i < 2; i++) {
    if (!lines[1 + i] || !*lines[1 + i]) continue;
    // The writing end does not block, and fails once the client has left.
    int reader = fifo_open(lines[1 + i], O_RDONLY | O_NONBLOCK, O_WRONLY, &sources[i].copy.fd);
    close_fd(&reader);
  }
  while (sources[0].pipe >= 0 || sources[1].pipe >= 0) {
    struct pollfd wait[2];
    for (int i = 0; i < 2; i++) wait[i] = (struct pollfd){sources[i].pipe, POLLIN, 0};
    if (poll(wait, 2, -1) < 0) continue;
    for (int i = 0; i < 2; i++) {
      if (!wait[i].revents) continue;
      bool more = log_pump(&file, &sources[i]);
      sink_settle(&sources[i].copy);
      if (!more) log_end(&file, &sources[i]);
    }
  }
  return 0;
}
