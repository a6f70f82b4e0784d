/** Operations that make the mounted root file system "/". */
import { linux } from "@berth/sys";
import type { PlanBuilder } from "./builder.ts";
import { AT_RECURSIVE, FSCONFIG_CMD_CREATE, MS_PRIVATE } from "./mount-api.ts";
import { MOUNT_ATTR_RDONLY, propagationFlag } from "./mount-options.ts";

/**
 * Covers the host's procfs and sysfs. Without pivot_root they remain in the container's mount namespace, and a visible
 * unmasked instance lets a user namespace mount another one without the container's masks.
 */
export function planCovers(b: PlanBuilder, mountpoints: readonly string[]): void {
  b.stage("security");
  for (const mountpoint of mountpoints) {
    const [fs, cover, at] = [b.childSlot(), b.childSlot(), b.childSlot()];
    b.add("child", `open an empty file system for ${mountpoint}`, "fsopen", [fs, "tmpfs"]);
    b.add("child", "create it", "fsconfig", [fs, FSCONFIG_CMD_CREATE, "", "", 0]);
    b.add("child", "mount it read-only", "fsmount", [cover, fs, MOUNT_ATTR_RDONLY]);
    b.add("child", `open the host's ${mountpoint}`, "open", [at, mountpoint, linux.O_PATH, 0]);
    b.add("child", "keep what comes on it from the host", "mount_setattr", [at, 0, 0, 0, MS_PRIVATE, -1]);
    b.add("child", "cover it", "move_mount", [cover, at]);
    for (const slot of [fs, cover, at]) b.release(slot);
  }
}

/** Adds the operations that make the root "/", and set its propagation and flags. */
export function planPivot(
  b: PlanBuilder,
  root: number,
  options: { readonly: boolean; method: "pivot" | "move" | "chroot"; propagation: string | undefined },
): void {
  b.stage("rootfs");
  if (options.method === "pivot") b.add("child", "make it / and detach the old root", "pivot_root", [root]);
  else b.add("child", "make it / without pivot_root", "chroot", [root, options.method === "move" ? 1 : 0]);
  const propagation = propagationFlag(options.propagation ?? "");
  if (propagation !== undefined) {
    b.add("child", `make / ${options.propagation}`, "mount_setattr", [
      root,
      propagation.recursive ? AT_RECURSIVE : 0,
      0,
      0,
      propagation.flag,
      -1,
    ]);
  }
  if (options.readonly)
    b.add("child", "make / read-only", "mount_setattr", [root, 0, MOUNT_ATTR_RDONLY, 0, 0, -1]);
  b.add("child", `close slot ${root}`, "close", [root]);
}
