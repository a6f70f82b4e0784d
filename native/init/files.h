// Opening and writing files, also inside an untrusted root.
#pragma once
#include <stdint.h>
#include <sys/types.h>

#include "operations.h"

// openat2(2); the descriptor, or a negated errno. Always close-on-exec.
int open_resolved(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
// The same with RESOLVE_IN_ROOT: symbolic links, even absolute ones, stay below `root`.
int open_in_root(int root, const char *path, uint64_t flags);
int write_all(int fd, const void *bytes, size_t size);
// Writes to a file in /proc/PID in a single write.
int write_proc(pid_t pid, const char *name, const struct arg *content);
