// The keeper's end of the container's terminal: relays it to a client, or to the caller's own terminal in the foreground.
#pragma once
#include <stdbool.h>

#include "log.h"

struct relay {
  int master, in;
  struct sink out;
  bool foreground;  // `in` is the caller's own terminal
};

// Switches the caller's terminal to raw mode and takes its size over, until relay_end.
void relay_begin(struct relay *relay);
void relay_end(const struct relay *relay);
// 0 or a negated errno.
int relay_resize(const struct relay *relay, unsigned short columns, unsigned short rows);
// Passes on the size of the caller's terminal.
void relay_follow_size(const struct relay *relay);
// Passes on some output of the terminal, to the log too if there is one; false at the end.
bool relay_output(struct relay *relay, struct log_file *file, struct source *source);
// Passes on some input; false at the end.
bool relay_input(const struct relay *relay);
