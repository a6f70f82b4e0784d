// Programs that run to their end beside the container: hooks, newuidmap(1).
#pragma once
#include "operations.h"

// Runs a program with `input` as its stdin; a timeout of 0 means none. -ECHILD unless it exits with 0, with its stderr in
// st->detail.
int run_program(struct state *st, const char *path, char **argv, char **env, int input, int64_t timeout_ms);
// The same without environment, input or timeout.
int run_helper(struct state *st, char **argv);
