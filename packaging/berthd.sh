#!/bin/sh
# Starts berthd on the Node that came with it. Small heaps: the daemon holds little, and returns what it does not need.
BERTHD=$(readlink -f "$0")
# By this name shims of other runtimes publish events, if they cannot use the socket.
export BERTHD
here=$(dirname "$BERTHD")
export BERTH_LIB="${BERTH_LIB:-$here/../lib/berth}"
# Waiting for berth-init occupies a thread each: as many as containers may start at once.
export UV_THREADPOOL_SIZE="${UV_THREADPOOL_SIZE:-16}"
# What V8 made of the program when it was built: 30 ms less at each start. Without it, or by another Node, it starts as well.
export NODE_COMPILE_CACHE="$BERTH_LIB/cache" NODE_COMPILE_CACHE_PORTABLE=1
# An arena of malloc's for each of those threads would be memory that never comes back: 12 MB, and more with each container.
export MALLOC_ARENA_MAX="${MALLOC_ARENA_MAX:-2}"
# BERTH_NODE_FLAGS="--inspect --enable-source-maps" to look inside.
# shellcheck disable=SC2086 # several flags
exec "$BERTH_LIB/node" ${BERTH_NODE_FLAGS:-} --max-semi-space-size=1 --max-old-space-size=128 --disable-warning=ExperimentalWarning \
  "$BERTH_LIB/berthd.mjs" "$@"
