#!/bin/sh
# `make run`: a container's life, through every layer. Leaves berthd running and nothing else.
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/bin:$PATH"
state=${BERTH_STATE:-/run/berth}
root=${BERTH_ROOT:-/var/lib/berth}
export BERTH_ADDRESS="$state/berth.sock"

say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; }
run() {
  say "$@"
  "$@"
}

if [ "$(id -u)" != 0 ]; then
  echo "make run: containers need root here; try: sudo make run" >&2
  exit 1
fi
if berth version >/dev/null 2>&1; then
  echo "berthd is running already, on $BERTH_ADDRESS"
else
  mkdir -p "$state"
  chmod 711 "$state"
  umask 077
  setsid berthd --root "$root" --state "$state" >>"$state/berthd.log" 2>&1 </dev/null &
  echo $! > "$state/berthd.pid"
  for _ in $(seq 100); do
    berth version >/dev/null 2>&1 && break
    kill -0 "$(cat "$state/berthd.pid")" 2>/dev/null || { cat "$state/berthd.log" >&2; exit 1; }
    sleep 0.05
  done
  echo "berthd started, pid $(cat "$state/berthd.pid"), log $state/berthd.log"
fi

image=$(mktemp)
trap 'rm -f "$image"' EXIT
say "scripts/demo-image.sh  # an image of Debian's busybox, made here"
scripts/demo-image.sh "$image"
run berth load -i "$image"
# shellcheck disable=SC2016 # for the shell in the container
run berth run --rm berth/demo sh -c 'for i in 1 2 3; do echo "hello $i from $(hostname)"; sleep 0.3; done'
berth rm -f demo >/dev/null 2>&1 || true
run berth run -d --name demo --memory 64m --pids-limit 50 berth/demo sh -c 'while true; do date; sleep 1; done'
run berth exec demo ps
run berth restart -t 0 demo
run berth trace demo
say "berth explain demo | head -n 24"
berth explain demo | head -n 24
run berth ps
run berth logs demo
run berth rm -f demo
cat <<EOF

What to type next:
  export PATH=$PWD/bin:\$PATH BERTH_ADDRESS=$BERTH_ADDRESS
  berth run -it --rm berth/demo sh      a shell in a container
  berth --help                          all commands
  ctr -a $BERTH_ADDRESS version         containerd's own client works too
  curl --unix-socket $BERTH_ADDRESS -H 'content-type: application/json' -d '{}' http://berth/containerd.services.version.v1.Version/Version
  kill \$(cat $state/berthd.pid)         end the daemon; containers go on
EOF
