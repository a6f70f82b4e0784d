/** Operations that make the root file system: its mount, and taking its place as "/". */
import { BerthError } from "@berth/base";
import { linux } from "@berth/sys";
import type { PlanBuilder } from "./builder.ts";
import { MOUNT_ATTR_RDONLY, parseMountOptions, propagationFlag } from "./mount-options.ts";

export const { AT_FDCWD, AT_RECURSIVE } = linux;
export const OPEN_TREE_CLONE = 1;
const FSCONFIG_SET_FLAG = 0;
export const FSCONFIG_SET_STRING = 1;
export const FSCONFIG_CMD_CREATE = 6;
export const FSCONFIG_CMD_RECONFIGURE = 7;
const MS_SLAVE = 1 << 19;
const MS_PRIVATE = 1 << 18;
const MS_SHARED = 1 << 20;

/** A mount that makes up the root file system, as a snapshotter describes it. */
export interface RootMount {
  type: string;
  source: string;
  options: readonly string[];
}

/** fsconfig takes at most 255 bytes of text for one parameter. */
const PARAMETER_LIMIT = 255;

/** One parameter "key=value" or "flag" of a file system that is being opened. */
export function addParameter(
  b: PlanBuilder,
  section: "setup" | "child",
  fs: number,
  parameter: string,
): void {
  const at = parameter.indexOf("=");
  if (at < 0) {
    b.add(section, `set ${parameter}`, "fsconfig", [fs, FSCONFIG_SET_FLAG, parameter, "", 0]);
  } else {
    const key = parameter.slice(0, at);
    b.add(section, `set ${parameter}`, "fsconfig", [
      fs,
      FSCONFIG_SET_STRING,
      key,
      parameter.slice(at + 1),
      0,
    ]);
  }
}

/** overlayfs's lower folders: one parameter each where the list is too long for one (Linux 6.5 and later). */
function overlayParameters(parameter: string): string[] {
  if (!parameter.startsWith("lowerdir=") || parameter.length - 9 <= PARAMETER_LIMIT) return [parameter];
  return parameter
    .slice(9)
    .split(":")
    .map((folder) => `lowerdir+=${folder}`);
}

/**
 * Mounts the root file system detached, in the parent: it is in no mount table until the container's own, so that
 * nothing is left to unmount on the host, however the container ends. Returns its slot.
 */
function detachedRoot(b: PlanBuilder, mount: RootMount): number {
  const options = parseMountOptions(mount.options, `rootfs mount of ${mount.type}`);
  const slot = b.slot();
  if (options.bind !== "no" || mount.type === "bind") {
    const deep = options.bind === "rbind" ? AT_RECURSIVE : 0;
    b.add("setup", `take ${mount.source} as the root file system`, "open_tree", [
      slot,
      AT_FDCWD,
      mount.source,
      OPEN_TREE_CLONE | deep,
    ]);
    if (options.set | options.clear) {
      b.add("setup", `set its options ${mount.options.join(",")}`, "mount_setattr", [
        slot,
        0,
        options.set,
        options.clear,
        0,
        -1,
      ]);
    }
    return slot;
  }
  const fs = b.slot();
  b.add("setup", `open a ${mount.type} file system as the root`, "fsopen", [fs, mount.type]);
  if (mount.source !== "")
    b.add("setup", `set source=${mount.source}`, "fsconfig", [
      fs,
      FSCONFIG_SET_STRING,
      "source",
      mount.source,
      0,
    ]);
  for (const parameter of options.parameters.flatMap(overlayParameters))
    addParameter(b, "setup", fs, parameter);
  b.add("setup", `create the ${mount.type} file system`, "fsconfig", [fs, FSCONFIG_CMD_CREATE, "", "", 0]);
  b.add("setup", `mount ${mount.type}`, "fsmount", [slot, fs, options.set]);
  b.add("setup", `close its context`, "close", [fs]);
  return slot;
}

/**
 * Clones a host path's mounts in the parent, which may reach what the root of a user namespace may not. The clone
 * receives the host's later mounts and sends none. Returns its slot.
 */
export function takeFromHost(b: PlanBuilder, path: string, deep: number): number {
  const slot = b.slot();
  b.add("setup", `take ${path}`, "open_tree", [slot, AT_FDCWD, path, OPEN_TREE_CLONE | deep]);
  b.add("setup", "make it a slave of the host's", "mount_setattr", [slot, AT_RECURSIVE, 0, 0, MS_SLAVE, -1]);
  return slot;
}

/** Everything about the root file system that the bundle and the engine say. */
export interface RootPlan {
  /** Absolute path of the rootfs folder. */
  path: string;
  mounts: readonly RootMount[];
  /** Mount point of the mount that `path` lies on, for a shared root; "/" when absent. */
  parentMount?: string;
  /** linux.rootfsPropagation. */
  propagation: string | undefined;
  /** "6.1.0-13-amd64". */
  kernelRelease: string;
  /** Host paths are taken in the parent: the process is in a user namespace, whose root may not reach them all. */
  fromHost: boolean;
  /** The container has a mount namespace. Without one, its root is attached nowhere, and the caller's mounts stay as they are. */
  mountNamespace: boolean;
}

/** overlayfs takes its lower folders one by one since Linux 6.5. */
function takesLowerFoldersSingly(kernelRelease: string): boolean {
  const [major = 0, minor = 0] = kernelRelease.split(".").map((n) => Number.parseInt(n, 10));
  return major > 6 || (major === 6 && minor >= 5);
}

/** A mount that only mount(2) can make: its lower folders are too long for one parameter, and the kernel is old. */
function needsOldMount(mount: RootMount, kernelRelease: string): boolean {
  const long = mount.options.some((o) => o.startsWith("lowerdir=") && o.length - 9 > PARAMETER_LIMIT);
  return mount.type === "overlay" && long && !takesLowerFoldersSingly(kernelRelease);
}

/**
 * Slave: the host's mounts keep arriving; a private root cuts them off. With a shared one, volumes that are shared shall
 * carry the container's mounts to the host: mounts stay as they are, but for the one below the root, since pivot_root
 * wants no shared parent and nothing of the root may reach the host.
 */
function planHostPropagation(b: PlanBuilder, wanted: number, parent: string | undefined): void {
  const host = b.childSlot();
  if (parent !== undefined) {
    b.add("child", `open ${parent}`, "open", [host, parent, linux.O_PATH, 0]);
    b.add("child", `make the mount on ${parent} private`, "mount_setattr", [host, 0, 0, 0, MS_PRIVATE, -1]);
    b.release(host);
    return;
  }
  const outer = wanted === MS_PRIVATE ? MS_PRIVATE : MS_SLAVE;
  b.add("child", "open /", "open", [host, "/", linux.O_PATH, 0]);
  b.add(
    "child",
    `make all mounts ${outer === MS_SLAVE ? "slaves of the host's" : "private"}`,
    "mount_setattr",
    [host, AT_RECURSIVE, 0, 0, outer, -1],
  );
  b.release(host);
}

/**
 * Covers the host's procfs and sysfs. Without pivot_root they stay in the container's mount namespace, and a whole one in
 * sight allows a user namespace to mount another without the container's masks.
 */
export function planCovers(b: PlanBuilder, places: readonly string[]): void {
  b.stage("security");
  for (const place of places) {
    const [fs, cover, at] = [b.childSlot(), b.childSlot(), b.childSlot()];
    b.add("child", `open an empty file system for ${place}`, "fsopen", [fs, "tmpfs"]);
    b.add("child", "create it", "fsconfig", [fs, FSCONFIG_CMD_CREATE, "", "", 0]);
    b.add("child", "mount it read-only", "fsmount", [cover, fs, MOUNT_ATTR_RDONLY]);
    b.add("child", `open the host's ${place}`, "open", [at, place, linux.O_PATH, 0]);
    b.add("child", "keep what comes on it from the host", "mount_setattr", [at, 0, 0, 0, MS_PRIVATE, -1]);
    b.add("child", "cover it", "move_mount", [cover, at]);
    for (const slot of [fs, cover, at]) b.release(slot);
  }
}

/** Adds the operations that put the root in place (not yet as "/"); returns the slot that opens it. */
export function planRoot(b: PlanBuilder, root: RootPlan): number {
  b.stage("rootfs");
  if (root.mounts.length > 1) {
    throw new BerthError(
      "unimplemented",
      `rootfs: found ${root.mounts.length} mounts, expected at most one`,
      { stage: "rootfs" },
    );
  }
  const only = root.mounts[0];
  const old = only !== undefined && needsOldMount(only, root.kernelRelease);
  let slot = only === undefined || old ? undefined : detachedRoot(b, only);
  const wanted = propagationFlag(root.propagation || "rslave");
  if (wanted === undefined) {
    throw new BerthError(
      "invalid_argument",
      `linux.rootfsPropagation: found ${JSON.stringify(root.propagation)}, expected private, slave, shared or unbindable, or one of these with a leading "r"`,
      { stage: "rootfs" },
    );
  }
  // Below a user namespace nothing can be shared with the host: the kernel makes slaves of its mounts there.
  const shared = wanted.flag === MS_SHARED && !root.fromHost;
  if (root.mountNamespace)
    planHostPropagation(b, wanted.flag, shared ? (root.parentMount ?? "/") : undefined);
  if (old) {
    b.add("child", `mount ${only.type} on ${root.path}`, "mount", [
      only.source,
      root.path,
      only.type,
      0,
      only.options.join(","),
    ]);
    slot = b.slot();
    b.add("child", `open ${root.path}`, "open", [slot, root.path, linux.O_PATH, 0]);
    return slot;
  }
  if (slot === undefined && root.fromHost) slot = takeFromHost(b, root.path, AT_RECURSIVE);
  if (slot === undefined) {
    slot = b.slot();
    b.add("child", `take ${root.path} as the root file system`, "open_tree", [
      slot,
      AT_FDCWD,
      root.path,
      OPEN_TREE_CLONE | AT_RECURSIVE,
    ]);
  }
  if (!root.mountNamespace) return slot;
  if (shared)
    b.add("child", "keep its mounts from the host", "mount_setattr", [
      slot,
      AT_RECURSIVE,
      0,
      0,
      MS_PRIVATE,
      -1,
    ]);
  // Where the root is mounted matters little: pivot_root takes it from there. "/" is in everyone's reach.
  const at = root.fromHost ? "/" : root.path;
  const place = b.childSlot();
  b.add("child", `open ${at}`, "open", [place, at, linux.O_PATH, 0]);
  b.add("child", `mount it on ${at}`, "move_mount", [slot, place]);
  b.release(place);
  return slot;
}

/** Adds the operations that make the root "/" and finish it. */
export function planPivot(
  b: PlanBuilder,
  root: number,
  options: { readonly: boolean; how: "pivot" | "move" | "chroot"; propagation: string | undefined },
): void {
  b.stage("rootfs");
  if (options.how === "pivot") b.add("child", "make it / and let go of the host's", "pivot_root", [root]);
  else b.add("child", "make it / without pivot_root", "chroot", [root, options.how === "move" ? 1 : 0]);
  const wanted = propagationFlag(options.propagation ?? "");
  if (wanted !== undefined) {
    b.add("child", `make / ${options.propagation}`, "mount_setattr", [
      root,
      wanted.recursive ? AT_RECURSIVE : 0,
      0,
      0,
      wanted.flag,
      -1,
    ]);
  }
  if (options.readonly)
    b.add("child", "make / read-only", "mount_setattr", [root, 0, MOUNT_ATTR_RDONLY, 0, 0, -1]);
  b.add("child", `close slot ${root}`, "close", [root]);
}
