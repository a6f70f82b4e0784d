/**
 * Builds Go programs of test/go in a Debian chroot that has golang-go and golang-github-containerd-containerd-dev 2.x.
 * BERTH_TEST_GO_CHROOT names it; nothing in it changes: what is bound into it is so in a mount namespace of the build only.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./checkout.ts";

const chroot = process.env.BERTH_TEST_GO_CHROOT ?? "";
const LIBRARY = "usr/share/gocode/src/github.com/containerd/containerd/v2/client";

/** A build with an empty cache takes 30 seconds on two cores. */
const BUILD_TIMEOUT_MS = 240_000;

/** Why Go programs cannot be built; undefined if they can. */
export function cannotBuildGo(): string | undefined {
  if (chroot === "") return "BERTH_TEST_GO_CHROOT does not name a chroot with Go: see test/README.md";
  const missing = [LIBRARY, "usr/bin/go"].find((path) => !existsSync(join(chroot, path)));
  return missing && `BERTH_TEST_GO_CHROOT: ${join(chroot, missing)} does not exist: see test/README.md`;
}

/** Builds test/go, as a static program, into `folder`, and returns its path. */
export function buildGoClient(folder: string): string {
  const script = [
    'mount --bind "$1" "$3/mnt" && mount --bind "$2" "$3/media" && mount -t proc proc "$3/proc" || exit',
    'exec chroot "$3" sh -c "cd /mnt && go build -o /media/goclient ."',
  ].join("\n");
  const env = {
    PATH: process.env.PATH,
    HOME: "/media",
    GOCACHE: "/media/go-cache",
    GOTMPDIR: "/media",
    GO111MODULE: "off",
    GOPATH: "/usr/share/gocode",
    GOFLAGS: "-buildvcs=false",
    CGO_ENABLED: "0",
  };
  const args = ["--mount", "sh", "-c", script, "sh", join(ROOT, "test/go"), folder, chroot];
  const built = spawnSync("unshare", args, { env, encoding: "utf8", timeout: BUILD_TIMEOUT_MS });
  if (built.status !== 0) throw new Error(`go build failed: ${built.error ?? built.stderr}`);
  return join(folder, "goclient");
}
