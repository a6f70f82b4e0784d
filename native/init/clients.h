// Connections to keeper.sock, which speaks lines. A connection is greeted with "PID pid"; "OOM count" follows whenever the
// out-of-memory killer has killed again. Commands: "RESIZE columns rows", "CLOSE_STDIN", "REOPEN_LOG", "KILL signal", "ADOPT pid",
// "TERMINAL" with the master's descriptor; each is answered by "OK" or "ERR errno". When the process has ended, every connection
// gets "EXIT code nanoseconds ooms" and is closed.
#pragma once
#include <stddef.h>

struct state;

enum { MAX_CLIENTS = 16 };

// Lines are short; a client that sends a longer one is dropped.
struct client {
  int fd;
  unsigned used;
  char line[64];
};

struct clients {
  int listener, count;
  struct client list[MAX_CLIENTS];
};

// Accepts and greets a client.
void clients_accept(struct state *st);
// Reads commands of a client and runs them; drops it when it has left.
void clients_serve(struct state *st, int index);
// Sends text to all clients; one that does not read misses it.
void clients_send(const struct clients *clients, const char *text, size_t size);
// Sends the last line, also to clients that wait to be accepted, and closes everything.
void clients_end(struct clients *clients, const char *text, size_t size);
