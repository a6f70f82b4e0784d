/** Operations that mount the root file system. */
import { BerthError } from "@berth/base";
import { linux } from "@berth/sys";
import type { PlanBuilder } from "./builder.ts";
import {
  AT_FDCWD,
  AT_RECURSIVE,
  addParameter,
  cloneFromHost,
  FSCONFIG_CMD_CREATE,
  FSCONFIG_SET_STRING,
  MS_PRIVATE,
  MS_SHARED,
  MS_SLAVE,
  OPEN_TREE_CLONE,
} from "./mount-api.ts";
import { MOUNT_ATTR_RDONLY, parseMountOptions, propagationFlag } from "./mount-options.ts";
import { attach, openTarget } from "./mount-steps.ts";

/** A mount of the root file system, as returned by a snapshotter. */
export interface RootMount {
  type: string;
  source: string;
  options: readonly string[];
  /** Folder below the root; "" or absent for the root itself. */
  target?: string;
}

/** fsconfig(2) accepts at most 255 bytes per string parameter. */
const PARAMETER_LIMIT = 255;

/** Splits a lowerdir list that is too long for one parameter into one lowerdir+ for each (Linux 6.5 and later). */
function overlayParameters(parameter: string): string[] {
  if (!parameter.startsWith("lowerdir=") || parameter.length - 9 <= PARAMETER_LIMIT) return [parameter];
  return parameter
    .slice(9)
    .split(":")
    .map((folder) => `lowerdir+=${folder}`);
}

/**
 * Creates a detached mount of the root file system in the parent; returns its slot. It is only ever attached in the
 * container's mount namespace, so nothing is left to unmount on the host, however the container exits.
 */
function detachedRoot(b: PlanBuilder, mount: RootMount): number {
  const options = parseMountOptions(mount.options, `rootfs mount of ${mount.type}`);
  const slot = b.slot();
  if (options.bind !== "no" || mount.type === "bind") {
    const recursive = options.bind === "rbind" ? AT_RECURSIVE : 0;
    b.add("setup", `take ${mount.source} as the root file system`, "open_tree", [
      slot,
      AT_FDCWD,
      mount.source,
      OPEN_TREE_CLONE | recursive,
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
  // The file system itself, too: a read-only device cannot be opened for writing.
  const parameters = options.set & MOUNT_ATTR_RDONLY ? ["ro", ...options.parameters] : options.parameters;
  for (const parameter of parameters.flatMap(overlayParameters)) addParameter(b, "setup", fs, parameter);
  b.add("setup", `create the ${mount.type} file system`, "fsconfig", [fs, FSCONFIG_CMD_CREATE, "", "", 0]);
  b.add("setup", `mount ${mount.type}`, "fsmount", [slot, fs, options.set]);
  b.add("setup", `close its context`, "close", [fs]);
  return slot;
}

/** The root file system's configuration. */
export interface RootPlan {
  /** Absolute path of the rootfs directory. */
  path: string;
  mounts: readonly RootMount[];
  /** Mount point of the mount that contains `path`, for a shared root; "/" by default. */
  parentMount?: string;
  /** linux.rootfsPropagation. */
  propagation: string | undefined;
  /** "6.1.0-13-amd64". */
  kernelRelease: string;
  /** Whether host paths are opened by the parent, as the process is root of a user namespace and may not reach them all. */
  fromHost: boolean;
  /** Whether the container has a mount namespace. If not, its root is not attached, and host mounts are not changed. */
  mountNamespace: boolean;
}

/** Whether overlayfs has the parameter lowerdir+, since Linux 6.5. */
function hasLowerdirPlus(kernelRelease: string): boolean {
  const [major = 0, minor = 0] = kernelRelease.split(".").map((n) => Number.parseInt(n, 10));
  return major > 6 || (major === 6 && minor >= 5);
}

/** Whether the mount must be made by mount(2): its lowerdir is too long for one parameter, and the kernel lacks lowerdir+. */
function needsLegacyMount(mount: RootMount, kernelRelease: string): boolean {
  const long = mount.options.some((o) => o.startsWith("lowerdir=") && o.length - 9 > PARAMETER_LIMIT);
  return mount.type === "overlay" && long && !hasLowerdirPlus(kernelRelease);
}

/**
 * Sets the propagation of host mounts in the new mount namespace: private for a private root, otherwise slave, so that
 * later host mounts still arrive. With a shared root (`parent` is set), shared volumes must propagate mounts to the host, so
 * only the mount that contains the root is changed: pivot_root(2) refuses a shared parent, and mounts in the root must not
 * propagate to the host.
 */
function planHostPropagation(b: PlanBuilder, propagation: number, parent: string | undefined): void {
  const host = b.childSlot();
  if (parent !== undefined) {
    b.add("child", `open ${parent}`, "open", [host, parent, linux.O_PATH, 0]);
    b.add("child", `make the mount on ${parent} private`, "mount_setattr", [host, 0, 0, 0, MS_PRIVATE, -1]);
    b.release(host);
    return;
  }
  const outer = propagation === MS_PRIVATE ? MS_PRIVATE : MS_SLAVE;
  b.add("child", "open /", "open", [host, "/", linux.O_PATH, 0]);
  b.add("child", `make all mounts ${outer === MS_SLAVE ? "slaves" : "private"}`, "mount_setattr", [
    host,
    AT_RECURSIVE,
    0,
    0,
    outer,
    -1,
  ]);
  b.release(host);
}

/**
 * Adds the operations that mount the root file system, not yet as "/"; returns its slot. Of several mounts of the root
 * itself the last one counts, as it covers the others; those after it are mounted in its folders.
 */
export function planRoot(b: PlanBuilder, root: RootPlan): number {
  b.stage("rootfs");
  const top = root.mounts.findLastIndex(({ target }) => isRoot(target));
  const inner = root.mounts.slice(top + 1);
  for (const mount of inner) {
    if (!root.mountNamespace || needsLegacyMount(mount, root.kernelRelease))
      throw new BerthError(
        "unimplemented",
        `rootfs: found a mount of ${mount.type} on ${JSON.stringify(mount.target)}, expected one of the root only, ${
          root.mountNamespace ? "as its lowerdir is too long for this kernel" : "without a mount namespace"
        }`,
        { stage: "rootfs" },
      );
  }
  const mounted = inner.map((mount) => ({ mount, slot: detachedRoot(b, mount) }));
  const slot = planTop(b, root, top === -1 ? undefined : root.mounts[top]);
  for (const each of mounted) {
    const target = each.mount.target!;
    const place = openTarget(b, slot, target.startsWith("/") ? target : `/${target}`, each.slot, true);
    attach(b, each.slot, place, `mount ${each.mount.type} on ${target} of the root file system`);
  }
  return slot;
}

function isRoot(target: string | undefined): boolean {
  return target === undefined || /^\/*$/.test(target);
}

function planTop(b: PlanBuilder, root: RootPlan, only: RootMount | undefined): number {
  const legacy = only !== undefined && needsLegacyMount(only, root.kernelRelease);
  let slot = only === undefined || legacy ? undefined : detachedRoot(b, only);
  const propagation = propagationFlag(root.propagation || "rslave");
  if (propagation === undefined) {
    throw new BerthError(
      "invalid_argument",
      `linux.rootfsPropagation: found ${JSON.stringify(root.propagation)}, expected private, slave, shared or unbindable, or one of these with a leading "r"`,
      { stage: "rootfs" },
    );
  }
  // A user namespace cannot share mounts with the host: the kernel makes them slaves.
  const shared = propagation.flag === MS_SHARED && !root.fromHost;
  if (root.mountNamespace)
    planHostPropagation(b, propagation.flag, shared ? (root.parentMount ?? "/") : undefined);
  if (legacy) {
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
  if (slot === undefined && root.fromHost) slot = cloneFromHost(b, root.path, AT_RECURSIVE);
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
  // Any mount point will do for pivot_root(2). In a user namespace root.path may not be reachable, but "/" always is.
  const at = root.fromHost ? "/" : root.path;
  const mountpoint = b.childSlot();
  b.add("child", `open ${at}`, "open", [mountpoint, at, linux.O_PATH, 0]);
  b.add("child", `mount it on ${at}`, "move_mount", [slot, mountpoint]);
  b.release(mountpoint);
  return slot;
}
