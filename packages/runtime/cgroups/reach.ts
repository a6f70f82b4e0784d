/** Which of a container's cgroups an unprivileged caller may create. */
import type { Sys } from "@berth/sys";
import type { CgroupPaths } from "./paths.ts";

/** The nearest existing ancestor of a directory, or itself. */
function nearestExisting(sys: Sys, folder: string): string {
  let at = folder;
  while (at !== "/" && sys.stat(at) === undefined) at = at.slice(0, at.lastIndexOf("/")) || "/";
  return at;
}

/**
 * Drops the hierarchies that the caller may not write to; a container without limits does not need them. Moving a process
 * into a cgroup requires write access to the common ancestor too, which delegation grants.
 */
export function reachableCgroups(sys: Sys, paths: CgroupPaths): CgroupPaths {
  const can = (folder: string) => sys.writable(nearestExisting(sys, folder));
  const v1 = Object.fromEntries(Object.entries(paths.v1).filter(([, folder]) => can(folder)));
  const { unified, path } = paths;
  return unified !== undefined && can(unified) ? { path, v1, unified } : { path, v1 };
}
