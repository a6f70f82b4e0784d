/** Which of a container's cgroups a caller without root's rights may make. */
import type { Sys } from "@berth/sys";
import type { CgroupPaths } from "./paths.ts";

/** The nearest folder upwards that exists. */
function existing(sys: Sys, folder: string): string {
  let at = folder;
  while (at !== "/" && sys.stat(at) === undefined) at = at.slice(0, at.lastIndexOf("/")) || "/";
  return at;
}

/**
 * The paths without the hierarchies that the caller may not write to: a container that asks for no limits does without.
 * To move processes into a cgroup one must be able to write where they come from, too: a folder that was delegated.
 */
export function reachableCgroups(sys: Sys, paths: CgroupPaths): CgroupPaths {
  const can = (folder: string) => sys.writable(existing(sys, folder));
  const v1 = Object.fromEntries(Object.entries(paths.v1).filter(([, folder]) => can(folder)));
  const { unified, path } = paths;
  return unified !== undefined && can(unified) ? { path, v1, unified } : { path, v1 };
}
