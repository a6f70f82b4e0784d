// Counts the kills of the kernel's out-of-memory killer in the container's cgroup.
#pragma once
#include <stdbool.h>

struct oom_watch {
  int event;  // version 1: an eventfd; version 2: memory.events itself; -1: no watch
  int file;
  unsigned base;   // the count that the cgroup began with
  unsigned count;  // kills since then
};

// The event to poll for.
short oom_event(const struct oom_watch *oom);
// Updates the count; true if it rose.
bool oom_update(struct oom_watch *oom);
