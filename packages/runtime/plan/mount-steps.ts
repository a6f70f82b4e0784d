/** What all kinds of mounts share: their context, and the steps around opening and attaching them. */
import { linux } from "@berth/sys";
import type { CgroupLayout } from "../cgroups/layout.ts";
import type { CgroupPaths } from "../cgroups/paths.ts";
import type { PlanBuilder } from "./builder.ts";
import type { IdMaps } from "./idmap.ts";
import { AT_RECURSIVE } from "./mount-api.ts";
import type { MountOptions } from "./mount-options.ts";
import { addTarget } from "./targets.ts";

/** What mounts depend on besides their own configuration. */
export interface MountContext {
  /** Slot of the root file system. */
  root: number;
  /**
   * Absolute path of the root file system on the host, if paths below it mean paths in the container; undefined for a
   * running container.
   */
  rootfs: string | undefined;
  /** Bundle directory, which relative sources are resolved against. */
  bundle: string;
  layout: CgroupLayout;
  cgroup: CgroupPaths;
  /** Whether host paths are opened by the parent (see RootPlan). */
  fromHost: boolean;
  /** Whether bind mounts keep their source's restrictions (see bindAttributes). */
  keepRestrictions: boolean;
  /** Whether the container has its own cgroup namespace. */
  cgroupNamespace: boolean;
  /** Default mappings of id-mapped mounts. */
  mappings: IdMaps;
  /** SELinux label of file systems. */
  label: string | undefined;
}

/** Path in the container of a host path below the root file system; undefined for any other path. */
export function insideRoot(ctx: MountContext, path: string): string | undefined {
  return ctx.rootfs !== undefined && path.startsWith(`${ctx.rootfs}/`)
    ? path.slice(ctx.rootfs.length)
    : undefined;
}

/** Opens or creates a mount point below `root`. With `strict`, symlinks are refused, so that an image cannot redirect it. */
export function openTarget(b: PlanBuilder, root: number, path: string, like: number, strict = false): number {
  const slot = b.childSlot();
  addTarget(b, `find or make ${path}`, slot, [root, path], like, strict ? linux.RESOLVE_NO_SYMLINKS : 0);
  return slot;
}

/** Attaches the mount in slot `from` to the target in slot `to`, which is released. */
export function attach(b: PlanBuilder, from: number, to: number, words: string): void {
  b.add("child", words, "move_mount", [from, to]);
  b.release(to);
}

/** Sets attributes and propagation of the mount in `slot`; a new mount has got its own attributes from fsmount(2). */
export function setAttributes(b: PlanBuilder, slot: number, o: MountOptions, isNew: boolean): void {
  if (!isNew && o.set | o.clear)
    b.add("child", "set its options", "mount_setattr", [slot, 0, o.set, o.clear, 0, -1]);
  if (o.recursiveSet | o.recursiveClear) {
    b.add("child", "set its options, below it too", "mount_setattr", [
      slot,
      AT_RECURSIVE,
      o.recursiveSet,
      o.recursiveClear,
      0,
      -1,
    ]);
  }
  if (o.propagation) {
    b.add("child", "set its propagation", "mount_setattr", [
      slot,
      o.recursivePropagation ? AT_RECURSIVE : 0,
      0,
      0,
      o.propagation,
      -1,
    ]);
  }
}
