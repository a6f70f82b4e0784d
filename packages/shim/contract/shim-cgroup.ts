/** The cgroup in the option shim_cgroup: for the process beside a container, not for the container. */
import { BerthError } from "@berth/base";
import type { Sys } from "@berth/sys";

const MOUNT = "/sys/fs/cgroup";

/**
 * The folders of a cgroup that exists: one for each hierarchy of version 1 that has it, or a single one of version 2.
 * "not_found" if there is none, "invalid_argument" for a path that is none of a cgroup.
 */
export function shimCgroupFolders(sys: Sys, cgroup: string): string[] {
  if (cgroup.split("/").includes(".."))
    throw new BerthError(
      "invalid_argument",
      `shim_cgroup: found ${JSON.stringify(cgroup)}, expected a path without ".."`,
    );
  const folders = ["", ...(sys.list(MOUNT) ?? [])]
    .map((hierarchy) => [MOUNT, hierarchy, cgroup].join("/").replace(/\/+/g, "/"))
    .filter((folder) => sys.stat(`${folder}/cgroup.procs`) !== undefined);
  if (folders.length === 0)
    throw new BerthError("not_found", `shim_cgroup: there is no cgroup ${cgroup}`, {
      stage: "shim",
      hint: "make it before the container is created",
    });
  return folders;
}
