#!/bin/sh
# Installs what checking, building or testing berth needs on Debian or Ubuntu: `setup.sh [check|build|test]`. Quick when all
# is there.
set -eu
cd "$(dirname "$0")/.."
what=${1:-build}

# What is missing of a list of "program=package" pairs, as package names.
missing() {
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null 2>&1 || printf '%s ' "${pair#*=}"
  done
}

export PATH="$PATH:/usr/sbin:/sbin"
packages=$(missing make=make gcc=gcc musl-gcc=musl-tools npm=npm)
[ -e /usr/include/linux/openat2.h ] || packages="$packages linux-libc-dev"
[ -e /usr/include/stdio.h ] || packages="$packages libc6-dev"
if [ "$what" = check ]; then
  packages="$packages $(missing clang-format=clang-format shellcheck=shellcheck)"
else
  packages="$packages $(missing busybox=busybox-static tar=tar)"
fi
if [ "$what" = test ]; then
  packages="$packages $(missing containerd=containerd runc=runc crun=crun docker-registry=docker-registry skopeo=skopeo \
    script=bsdutils curl=curl ps=procps mkfs.ext4=e2fsprogs mkfs.btrfs=btrfs-progs systemctl=systemd criu=criu newuidmap=uidmap ip=iproute2 \
    podman=podman dockerd=docker.io)"
  [ -e /usr/include/seccomp.h ] || packages="$packages libseccomp-dev"
fi
if [ -n "$(echo "$packages" | tr -d ' ')" ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "setup: these packages are missing and need root to install: $packages" >&2
    exit 1
  fi
  echo "setup: installing $packages"
  # A service that a package would start is not wanted: its program is.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' > $policy
    chmod +x $policy
    trap 'rm -f $policy' EXIT
  fi
  apt-get update -qq
  # shellcheck disable=SC2086 # a list of names
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
fi

stamp=node_modules/.berth-stamp
if ! cmp -s package-lock.json $stamp; then
  echo "setup: installing npm packages"
  # Not `npm ci`: it refuses a lock without packages for platforms that a registry does not carry.
  npm install --no-save --no-audit --no-fund --loglevel=error
  # npm may have left install scripts out; Bun's only puts its own binary in place.
  node_modules/.bin/bun --version >/dev/null 2>&1 || node node_modules/bun/install.js
  node_modules/.bin/buf --version >/dev/null 2>&1 || node node_modules/@bufbuild/buf/install.js
  cp package-lock.json $stamp
fi
