#!/bin/sh
# Runs berthd from its sources, and again whenever one changes: `scripts/dev.sh [berthd's flags]`, as root. Its directories are
# build/dev/root and build/dev/run. `bin/berth --address $PWD/build/dev/run/berth.sock ps` talks to it.
set -eu
cd "$(dirname "$0")/.."
place=$PWD/build/dev
mkdir -p "$place"
export BERTH_LIB="$PWD/lib/berth"
# shellcheck disable=SC2086 # several flags
exec node_modules/.bin/node --watch --disable-warning=ExperimentalWarning ${BERTH_NODE_FLAGS:-} \
  packages/engine/serving/main.ts --root "$place/root" --state "$place/run" --log-level debug "$@"
