/** Operations for config.json's mounts, in their order; targets are opened inside the root and mounted by descriptor. */
import { BerthError } from "@berth/base";
import type { Mount } from "@berth/oci";
import type { CgroupLayout } from "../cgroups/layout.ts";
import type { CgroupPaths } from "../cgroups/paths.ts";
import type { PlanBuilder } from "./builder.ts";
import { MOUNT_ATTR_RDONLY, type MountOptions, parseMountOptions } from "./mount-options.ts";
import {
  AT_FDCWD,
  AT_RECURSIVE,
  addParameter,
  FSCONFIG_CMD_CREATE,
  FSCONFIG_SET_STRING,
  OPEN_TREE_CLONE,
  takeFromHost,
} from "./rootfs.ts";

const RESOLVE_NO_SYMLINKS = 4;

/** What mounts depend on besides themselves. */
export interface MountContext {
  /** Slot of the root file system. */
  root: number;
  /** Bundle folder, which relative sources start from. */
  bundle: string;
  layout: CgroupLayout;
  cgroup: CgroupPaths;
  /** The container has a new user namespace. */
  userNamespace: boolean;
  /** The container has a cgroup namespace of its own. */
  cgroupNamespace: boolean;
}

/** What later operations need of the mounts. */
export interface MountResult {
  /** Slot of the procfs on /proc, for sysctls. */
  proc: number | undefined;
  /** Slot of a file system on /dev that becomes read-only once its nodes are made. */
  readonlyDev: number | undefined;
}

/** A target in the root; /proc and /sys take no symbolic link on the way, so that an image cannot redirect them. */
function target(b: PlanBuilder, root: number, path: string, like: number, strict = false): number {
  const slot = b.childSlot();
  b.add("child", `find or make ${path}`, "target", [
    slot,
    root,
    path,
    like,
    strict ? RESOLVE_NO_SYMLINKS : 0,
  ]);
  return slot;
}

function move(b: PlanBuilder, from: number, to: number, words: string): void {
  b.add("child", words, "move_mount", [from, to]);
  b.release(to);
}

function attributes(b: PlanBuilder, slot: number, o: MountOptions, deep: boolean, isNew: boolean): void {
  // A new mount got its attributes when it was made.
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
      o.recursivePropagation || deep ? AT_RECURSIVE : 0,
      0,
      0,
      o.propagation,
      -1,
    ]);
  }
}

function bindMount(b: PlanBuilder, mount: Mount, o: MountOptions, ctx: MountContext): void {
  const source = mount.source ?? "";
  if (source === "") {
    throw new BerthError(
      "invalid_argument",
      `mount on ${mount.destination}: found no source, expected a path to bind`,
      { stage: "mount" },
    );
  }
  const path = source.startsWith("/") ? source : `${ctx.bundle}/${source}`;
  const deep = o.bind === "rbind" ? AT_RECURSIVE : 0;
  const slot = ctx.userNamespace ? takeFromHost(b, path, deep) : b.childSlot();
  if (!ctx.userNamespace)
    b.add("child", `take ${path}`, "open_tree", [slot, AT_FDCWD, path, OPEN_TREE_CLONE | deep]);
  attributes(b, slot, o, false, false);
  move(b, slot, target(b, ctx.root, mount.destination, slot), `mount ${path} on ${mount.destination}`);
  // A slot of the parent's keeps its number: it is not the child's to give away.
  if (!ctx.userNamespace) b.release(slot);
}

/** Makes a file system and mounts it; returns its slot, which stays open. */
function newMount(
  b: PlanBuilder,
  type: string,
  source: string,
  o: MountOptions,
  where: string,
  root: number,
  attr: number,
): number {
  const fs = b.childSlot();
  const slot = b.childSlot();
  b.add("child", `open a ${type} file system for ${where}`, "fsopen", [fs, type]);
  if (source !== "")
    b.add("child", `set source=${source}`, "fsconfig", [fs, FSCONFIG_SET_STRING, "source", source, 0]);
  for (const parameter of o.parameters) addParameter(b, "child", fs, parameter);
  b.add("child", `create the ${type} file system`, "fsconfig", [fs, FSCONFIG_CMD_CREATE, "", "", 0]);
  b.add("child", `mount ${type} with its options`, "fsmount", [slot, fs, attr]);
  b.release(fs);
  attributes(b, slot, o, false, true);
  const strict = type === "proc" || type === "sysfs";
  move(b, slot, target(b, root, where, -1, strict), `mount ${type} on ${where}`);
  return slot;
}

/** The cgroup file system: the unified one, or a folder of version 1 hierarchies with their usual links. */
function cgroupMount(b: PlanBuilder, mount: Mount, o: MountOptions, ctx: MountContext): void {
  const { layout, cgroup } = ctx;
  const single = (type: string, folder: string, where: string, parameters: string[]) => {
    if (ctx.cgroupNamespace) {
      const slot = newMount(b, type, type, { ...o, parameters, propagation: 0 }, where, ctx.root, o.set);
      b.release(slot);
    } else {
      bindMount(
        b,
        { destination: where, source: folder },
        { ...o, bind: "rbind", parameters: [], propagation: 0 },
        ctx,
      );
    }
  };
  if (layout.mode === "v2") {
    single("cgroup2", cgroup.unified!, mount.destination, []);
    return;
  }
  const base: MountOptions = { ...o, parameters: ["mode=755"], propagation: 0, clear: 0 };
  const slot = newMount(b, "tmpfs", "tmpfs", base, mount.destination, ctx.root, o.set & ~MOUNT_ATTR_RDONLY);
  for (const { controllers, mountpoint } of layout.v1) {
    const name = mountpoint.slice(mountpoint.lastIndexOf("/") + 1);
    const named = controllers[0]!.startsWith("name=");
    single(
      "cgroup",
      mountpoint + cgroup.path,
      `${mount.destination}/${name}`,
      named ? ["none", controllers[0]!] : [...controllers],
    );
    for (const controller of controllers) {
      if (controller !== name && !named)
        b.add("child", `link ${controller} to ${name}`, "symlink", [
          ctx.root,
          `${mount.destination}/${controller}`,
          name,
        ]);
    }
  }
  if (o.set & MOUNT_ATTR_RDONLY)
    b.add("child", `make ${mount.destination} read-only`, "mount_setattr", [
      slot,
      0,
      MOUNT_ATTR_RDONLY,
      0,
      0,
      -1,
    ]);
  b.release(slot);
}

/** Adds the operations for all mounts. */
export function planMounts(b: PlanBuilder, mounts: readonly Mount[], ctx: MountContext): MountResult {
  const result: MountResult = { proc: undefined, readonlyDev: undefined };
  for (const [i, mount] of mounts.entries()) {
    b.stage("mount");
    const where = `mounts[${i}] on ${mount.destination}`;
    const o = parseMountOptions(mount.options ?? [], where);
    const type = mount.type ?? "";
    if (mount.uidMappings !== undefined || mount.gidMappings !== undefined) {
      throw new BerthError("unimplemented", `${where}: id-mapped mounts are not supported`, {
        stage: "mount",
      });
    }
    if (o.bind !== "no" || type === "bind") {
      bindMount(b, mount, o.bind === "no" ? { ...o, bind: "bind" } : o, ctx);
      continue;
    }
    if (o.remount)
      throw new BerthError("unimplemented", `${where}: remounting is not supported`, { stage: "mount" });
    if (type === "" || type === "none") {
      throw new BerthError(
        "invalid_argument",
        `${where}: found type ${JSON.stringify(type)}, expected a file system, or "bind" or "rbind" among the options`,
        { stage: "mount" },
      );
    }
    if (type === "cgroup" || type === "cgroup2") {
      cgroupMount(b, mount, o, ctx);
      continue;
    }
    const late = mount.destination === "/dev" && o.set & MOUNT_ATTR_RDONLY;
    const slot = newMount(
      b,
      type,
      mount.source ?? type,
      o,
      mount.destination,
      ctx.root,
      late ? o.set & ~MOUNT_ATTR_RDONLY : o.set,
    );
    if (late) result.readonlyDev = slot;
    else if (type === "proc" && mount.destination === "/proc") result.proc = slot;
    else b.release(slot);
  }
  return result;
}
