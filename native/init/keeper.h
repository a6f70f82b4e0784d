// The keeper: parent of one container process. It holds the process's streams, writes its log and records its
// exit, so that neither is lost while berthd is down. It ends with its process.
#ifndef BERTH_KEEPER_H
#define BERTH_KEEPER_H
#include <stdbool.h>
#include <stdint.h>

#include "log_file.h"
#include "operations.h"

// An output that nobody may be reading: what it does not take at once is kept, and no more is read for it until it does.
struct sink {
  int fd;
  char *kept;
  uint32_t size, sent;
};

// One stream that is formatted into the log: the read end of the process's pipe, and a FIFO that gets a copy.
struct source {
  int pipe;
  struct sink copy;
  const char *name;     // "stdout" or "stderr"
  uint32_t used;        // bytes of an unfinished line in `line`
  bool few;             // the last read brought little
  char *line;
};

struct keeper {
  int folder;           // where the exit record goes
  int record;           // the exit record, which has no name yet
  char exit_name[256];
  int listener;         // keeper.sock
  int stdin_hold;       // writing end of the client's stdin FIFO: no end of file until CLOSE_STDIN
  int holds[2];         // reading ends of output FIFOs: a client that vanishes kills nobody with SIGPIPE
  struct log_file log;
  struct source sources[2];
  int master, relay_in;
  struct sink relay_out;
  bool foreground;      // the relay runs between the caller's own terminal and the container's
  int oom, oom_file;    // version 1: an eventfd; version 2: memory.events itself
  unsigned oom_base;    // the count that the cgroup began with
  unsigned ooms;        // how often the kernel's out-of-memory killer came
};

// Waits for st->child, relaying and logging; returns its exit code. `k` may have no streams at all.
int keeper_run(struct state *st, struct keeper *k, bool record);
struct keeper *keeper_new(void);
// The log's writer alone, for a process that has no keeper: descriptor 3 is its stdout, 4 its stderr. `where` is the log's
// path, the paths of FIFOs that get copies, the limit of a file and how many there may be, a line each; an empty line is
// none. Returns an exit code.
int keeper_log(char *where);
// Hands bytes to a sink; false when nobody reads there any more.
bool sink_write(struct sink *sink, const char *bytes, uint32_t size);
// Writes what has come on one stream as CRI log lines; false at its end. log.c
bool log_pump(struct keeper *k, struct source *source);
// Flushes an unfinished line at the end of the stream.
void log_finish(struct keeper *k, struct source *source);
// Formats bytes that came over a terminal.
void log_bytes(struct keeper *k, struct source *source, const char *bytes, uint32_t size);
#endif
