/** The kernel's mount API (fsconfig(2), open_tree(2)): constants, and operations used by several parts of a plan. */
import { linux } from "@berth/sys";
import type { PlanBuilder } from "./builder.ts";

export const { AT_FDCWD, AT_RECURSIVE } = linux;
export const OPEN_TREE_CLONE = 1;
const FSCONFIG_SET_FLAG = 0;
export const FSCONFIG_SET_STRING = 1;
export const FSCONFIG_CMD_CREATE = 6;
export const FSCONFIG_CMD_RECONFIGURE = 7;
export const MS_SLAVE = 1 << 19;
export const MS_PRIVATE = 1 << 18;
export const MS_SHARED = 1 << 20;

/** Sets a parameter, "key=value" or "flag", of the file system context in slot `fs`. */
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

/**
 * Clones the mounts of a host path in the parent, as the root of a user namespace may not reach the path; returns the slot.
 * The clone receives later mounts of the host and propagates none. `recursive` is AT_RECURSIVE or 0.
 */
export function cloneFromHost(b: PlanBuilder, path: string, recursive: number): number {
  const slot = b.slot();
  b.add("setup", `take ${path}`, "open_tree", [slot, AT_FDCWD, path, OPEN_TREE_CLONE | recursive]);
  b.add("setup", "make it a slave mount", "mount_setattr", [slot, AT_RECURSIVE, 0, 0, MS_SLAVE, -1]);
  return slot;
}
