// The ends of the process's standard streams.
#pragma once

// Opens a FIFO with the flags `own`, and with `held` into *hold; the first descriptor or a negated errno.
int fifo_open(const char *path, int own, int held, int *hold);
