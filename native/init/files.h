// Files inside an untrusted root, and descriptors over sockets, for all operations.
#ifndef BERTH_FILES_H
#define BERTH_FILES_H
#include <stdint.h>
#include <sys/types.h>

#include "operations.h"

// openat2(2); the descriptor, or a negated errno. Always close-on-exec.
int open_resolved(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
// As open_resolved with RESOLVE_IN_ROOT: symbolic links, also absolute ones, stay below `root`.
int open_in_root(int root, const char *path, uint64_t flags);
int write_all(int fd, const void *bytes, size_t size);
// Sends one descriptor with the given text over a unix socket; 0 or a negated errno.
int send_descriptor(int socket, int fd, const char *text);
// Receives what the peer sent: the descriptor in *fd (-1: none); the number of data bytes or a negated errno.
int receive_descriptor(int socket, int *fd, void *data, unsigned size);
// Writes into a file of /proc/PID in one write.
int write_proc(pid_t pid, const char *name, const struct arg *content);
// Runs a program without environment to its end; -ECHILD, with its words in st->detail, unless it exits with 0. hooks.c
int run_helper(struct state *st, char **argv);
#endif
