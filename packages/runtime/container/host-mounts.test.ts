import assert from "node:assert/strict";
import { test } from "node:test";
import { bareKernelMounts, mountpointOf } from "./host-mounts.ts";

test("the mount of a path is the deepest one that contains it", () => {
  const mounts = ["/", "/run", "/run/a\\040b", "/runner"].map(
    (p, i) => `${i} 0 0:1 / ${p} rw - tmpfs none rw`,
  );
  const on = (path: string) => mountpointOf(mounts.join("\n"), path);
  assert.deepEqual(["/x", "/run/x", "/run/a b", "/run/a b/c", "/runner/x", "/running"].map(on), [
    "/",
    "/run",
    "/run/a b",
    "/run/a b",
    "/runner",
    "/",
  ]);
});

test("unmasked procfs and sysfs mounts outside the root are found, deepest first", () => {
  const mounts = [
    "1 0 0:1 / /proc rw shared:1 - proc proc rw",
    "2 0 0:2 / /sys rw - sysfs sysfs rw",
    "3 1 0:1 /sys /proc/sys ro - proc proc rw",
    "4 0 0:1 / /chroot/proc rw - proc proc rw",
    "5 0 0:1 / /b/rootfs/proc rw - proc proc rw",
    "6 0 0:3 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
  ].join("\n");
  assert.deepEqual(bareKernelMounts(mounts, "/b/rootfs"), ["/chroot/proc", "/proc", "/sys"]);
});
