// The log's writer on its own, for a process that has no keeper.
#pragma once

// Logs descriptor 3 as stdout and 4 as stderr until both end. `where` is the log's path, the paths of FIFOs that get copies
// of stdout and of stderr, the size limit of a file, the number of files and their mode, one per line; empty: none. Returns
// an exit code.
int logger_run(char *where);
