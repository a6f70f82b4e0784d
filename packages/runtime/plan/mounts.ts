/** Operations for config.json's mounts, in their order; targets are opened inside the root and mounted by descriptor. */
import { BerthError } from "@berth/base";
import type { Mount } from "@berth/oci";
import { linux } from "@berth/sys";
import type { CgroupLayout } from "../cgroups/layout.ts";
import type { CgroupPaths } from "../cgroups/paths.ts";
import type { PlanBuilder } from "./builder.ts";
import { type IdMaps, mapOwners } from "./idmap.ts";
import {
  bindAttributes,
  lockedFlags,
  MOUNT_ATTR_RDONLY,
  type MountOptions,
  parseMountOptions,
} from "./mount-options.ts";
import {
  AT_FDCWD,
  AT_RECURSIVE,
  addParameter,
  FSCONFIG_CMD_CREATE,
  FSCONFIG_CMD_RECONFIGURE,
  FSCONFIG_SET_STRING,
  OPEN_TREE_CLONE,
  cloneFromHost,
} from "./rootfs.ts";
import { addTarget, FOLDER, FOLDER_MODE } from "./targets.ts";

/** Ignored errors of a mount point that is missing or unusable; creating it reports the error. */
const IGNORED_MODE_ERRORS = [linux.ENOENT, linux.ENOTDIR, linux.EACCES, linux.ELOOP, linux.ENAMETOOLONG] as const;

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

/** Slots of mounts that later operations use. */
export interface MountResult {
  /** Slot of the procfs on /proc, for sysctls. */
  proc: number | undefined;
  /** Slot of the file system on /dev, if it is made read-only after its nodes are created. */
  readonlyDev: number | undefined;
}

/** Opens or creates a mount point below `root`. With `strict`, symlinks are refused, so that an image cannot redirect it. */
function target(b: PlanBuilder, root: number, path: string, like: number, strict = false): number {
  const slot = b.childSlot();
  addTarget(b, `find or make ${path}`, slot, [root, path], like, strict ? linux.RESOLVE_NO_SYMLINKS : 0);
  return slot;
}

function move(b: PlanBuilder, from: number, to: number, words: string): void {
  b.add("child", words, "move_mount", [from, to]);
  b.release(to);
}

/** Sets attributes and propagation of the mount in `slot`; a new mount has got its own attributes from fsmount(2). */
function attributes(b: PlanBuilder, slot: number, o: MountOptions, isNew: boolean): void {
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

/** Path in the container of a host path below the root file system; undefined for any other path. */
function insideRoot(ctx: MountContext, path: string): string | undefined {
  return ctx.rootfs !== undefined && path.startsWith(`${ctx.rootfs}/`)
    ? path.slice(ctx.rootfs.length)
    : undefined;
}

/**
 * Checks that options do not lift restrictions of a host mount in a user namespace. The kernel locks them for mounts that
 * are propagated to the namespace, but not for one that host root has cloned.
 */
function checkLocked(
  b: PlanBuilder,
  slot: number,
  o: MountOptions,
  source: string,
  destination: string,
): void {
  const [mask, value] = lockedFlags(o);
  if (mask !== 0)
    b.add("child", `error mounting "${source}" to rootfs at "${destination}"`, "mount_flags", [
      slot,
      mask,
      value,
    ]);
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
  const recursive = o.bind === "rbind" ? AT_RECURSIVE : 0;
  const mapped = o.idmap !== "no" || mount.uidMappings !== undefined;
  const inside = insideRoot(ctx, path);
  // With fromHost the parent opens the source, as the container's root may not reach it. A source in the root file system
  // is reachable, and may exist only after earlier mounts.
  const early = ctx.fromHost && inside === undefined;
  const slot = early ? cloneFromHost(b, path, recursive) : b.childSlot();
  if (!early)
    b.add("child", `take ${path}`, "open_tree", [
      slot,
      ctx.fromHost ? ctx.root : AT_FDCWD,
      ctx.fromHost ? `.${inside}` : path,
      OPEN_TREE_CLONE | recursive,
    ]);
  const where = early ? "setup" : ctx.fromHost ? "lent" : "child";
  if (mapped) mapOwners(b, where, slot, mount, o.idmap === "ridmap", ctx.mappings);
  if (early) checkLocked(b, slot, o, path, mount.destination);
  const [set, clear] = bindAttributes(o, ctx.keepRestrictions);
  attributes(b, slot, { ...o, set, clear }, false);
  move(b, slot, target(b, ctx.root, mount.destination, slot), `mount ${path} on ${mount.destination}`);
  // A slot allocated by the parent is not reused.
  if (!early) b.release(slot);
}

/** Changes the options of the existing mount on the destination. */
function remount(b: PlanBuilder, mount: Mount, o: MountOptions, ctx: MountContext): void {
  const slot = b.childSlot();
  addTarget(b, `find ${mount.destination}`, slot, [ctx.root, mount.destination], FOLDER);
  attributes(b, slot, o, false);
  if (o.parameters.length > 0 && o.bind === "no") {
    const fs = b.childSlot();
    b.add("child", `pick the file system on ${mount.destination}`, "fspick", [fs, slot]);
    for (const parameter of o.parameters) addParameter(b, "child", fs, parameter);
    b.add("child", "reconfigure it", "fsconfig", [fs, FSCONFIG_CMD_RECONFIGURE, "", "", 0]);
    b.release(fs);
  }
  b.release(slot);
}

/** Kernel file systems, which do not take a context= option. */
const UNLABELLED = new Set(["proc", "sysfs", "cgroup", "cgroup2", "mqueue"]);

/** Creates a detached mount of a new file system; returns its slot. */
function newFileSystem(
  b: PlanBuilder,
  type: string,
  source: string,
  o: MountOptions,
  where: string,
  ctx: Pick<MountContext, "root" | "label">,
  attr: number,
): number {
  const fs = b.childSlot();
  const slot = b.childSlot();
  b.add("child", `open a ${type} file system for ${where}`, "fsopen", [fs, type]);
  if (source !== "")
    b.add("child", `set source=${source}`, "fsconfig", [fs, FSCONFIG_SET_STRING, "source", source, 0]);
  for (const parameter of o.parameters) addParameter(b, "child", fs, parameter);
  if (type === "tmpfs" && !o.parameters.some((p) => p.startsWith("mode=")))
    b.add("child", `give it the permissions that ${where} has`, "inherit_mode", [
      fs,
      ctx.root,
      where,
      ...IGNORED_MODE_ERRORS,
    ]);
  if (ctx.label && !UNLABELLED.has(type)) addParameter(b, "child", fs, `context=${ctx.label}`);
  b.add("child", `create the ${type} file system`, "fsconfig", [fs, FSCONFIG_CMD_CREATE, "", "", 0]);
  b.add("child", `mount ${type} with its options`, "fsmount", [slot, fs, attr]);
  b.release(fs);
  attributes(b, slot, o, true);
  return slot;
}

/** Creates a file system and mounts it; returns its slot, which stays open. */
function newMount(
  b: PlanBuilder,
  type: string,
  source: string,
  o: MountOptions,
  where: string,
  ctx: Pick<MountContext, "root" | "label">,
  attr: number,
): number {
  const slot = newFileSystem(b, type, source, o, where, ctx, attr);
  const strict = type === "proc" || type === "sysfs" || where === "/dev";
  const to = target(b, ctx.root, where, FOLDER, strict);
  if (o.copyUp) b.add("child", `copy what ${where} holds into it`, "copy_up", [to, slot]);
  move(b, slot, to, `mount ${type} on ${where}`);
  return slot;
}

/** Mounts cgroups: the unified hierarchy, or a tmpfs with the version 1 hierarchies and their usual symlinks. */
function cgroupMount(b: PlanBuilder, mount: Mount, o: MountOptions, ctx: MountContext): void {
  const { layout, cgroup } = ctx;
  const single = (type: string, folder: string, where: string, parameters: string[]) => {
    if (ctx.cgroupNamespace) {
      const slot = newMount(b, type, type, { ...o, parameters, propagation: 0 }, where, ctx, o.set);
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
    single("cgroup2", cgroup.unified ?? layout.unified!, mount.destination, []);
    return;
  }
  versionOneRoot(b, mount, o, ctx);
  for (const { controllers, mountpoint } of layout.v1) {
    const named = controllers[0]!.startsWith("name=");
    single(
      "cgroup",
      // Without a cgroup of its own the container sees the whole hierarchy, which the caller can read anyway.
      cgroup.v1[controllers[0]!] ?? mountpoint,
      `${mount.destination}/${lastName(mountpoint)}`,
      named ? ["none", controllers[0]!] : [...controllers],
    );
  }
}

const lastName = (path: string) => path.slice(path.lastIndexOf("/") + 1);

/** Mounts the tmpfs for the version 1 hierarchies. It is completed, and made read-only if required, before it is attached. */
function versionOneRoot(b: PlanBuilder, mount: Mount, o: MountOptions, ctx: MountContext): void {
  const base: MountOptions = { ...o, parameters: ["mode=755"], propagation: 0, clear: 0, copyUp: false };
  const slot = newFileSystem(b, "tmpfs", "tmpfs", base, mount.destination, ctx, o.set & ~MOUNT_ATTR_RDONLY);
  for (const { controllers, mountpoint } of ctx.layout.v1) {
    const name = lastName(mountpoint);
    b.release(target(b, slot, `/${name}`, FOLDER));
    for (const controller of controllers)
      if (controller !== name && !controller.startsWith("name="))
        b.add("child", `link ${controller} to ${name}`, "symlink", [
          slot,
          `/${controller}`,
          name,
          FOLDER_MODE,
          linux.EEXIST,
        ]);
  }
  if (o.set & MOUNT_ATTR_RDONLY)
    b.add("child", "make it read-only", "mount_setattr", [slot, 0, MOUNT_ATTR_RDONLY, 0, 0, -1]);
  move(b, slot, target(b, ctx.root, mount.destination, FOLDER), `mount tmpfs on ${mount.destination}`);
  b.release(slot);
}

/** Adds the operations for all mounts, in order. */
export function planMounts(b: PlanBuilder, mounts: readonly Mount[], ctx: MountContext): MountResult {
  const result: MountResult = { proc: undefined, readonlyDev: undefined };
  for (const [i, configured] of mounts.entries()) {
    b.stage("mount");
    // As in runc, a destination below the rootfs on the host means the path in the container.
    const destination = insideRoot(ctx, configured.destination) ?? configured.destination;
    const mount = { ...configured, destination };
    const where = `mounts[${i}] on ${mount.destination}`;
    const o = parseMountOptions(mount.options ?? [], where);
    const type = mount.type ?? "";
    if (o.remount) {
      remount(b, mount, o, ctx);
      continue;
    }
    if (o.bind !== "no" || type === "bind") {
      bindMount(b, mount, o.bind === "no" ? { ...o, bind: "bind" } : o, ctx);
      continue;
    }
    if (o.idmap !== "no" || mount.uidMappings !== undefined)
      throw new BerthError(
        "invalid_argument",
        `${where}: id-mapped mounts are only supported for bind mounts`,
        {
          stage: "mount",
        },
      );
    if (o.copyUp && type !== "tmpfs")
      throw new BerthError("invalid_argument", `${where}: the option tmpcopyup is only for tmpfs`, {
        stage: "mount",
      });
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
      ctx,
      late ? o.set & ~MOUNT_ATTR_RDONLY : o.set,
    );
    if (late) result.readonlyDev = slot;
    else if (type === "proc" && mount.destination === "/proc") result.proc = slot;
    else b.release(slot);
  }
  return result;
}
