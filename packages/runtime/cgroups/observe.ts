/** Reads the host's cgroup state that a plan depends on. */
import type { Sys } from "@berth/sys";
import type { CgroupLayout } from "./layout.ts";
import { v1Mountpoint } from "./layout.ts";
import type { CgroupPaths } from "./paths.ts";

/** Cgroup state of the host, an input of the compiler. */
export interface CgroupFacts {
  /** Version 1 cpuset directories that are new or empty, top down, with the values they inherit. */
  readonly cpusets: readonly { folder: string; cpus: string; mems: string }[];
  /** Unified directories from the root to the parent, with the controllers to enable in cgroup.subtree_control. */
  readonly delegate: readonly { folder: string; controllers: readonly string[] }[];
}

/** Directories from the mount point down to `folder`, both included. */
function ancestry(mountpoint: string, folder: string): string[] {
  const out = [mountpoint];
  for (const part of folder.slice(mountpoint.length).split("/").filter(Boolean))
    out.push(`${out.at(-1)}/${part}`);
  return out;
}

/** Reads the facts; changes nothing. With `systemd`, enabling controllers is left to systemd. */
export function observeCgroups(
  sys: Sys,
  layout: CgroupLayout,
  paths: CgroupPaths,
  systemd = false,
): CgroupFacts {
  const cpusets: { folder: string; cpus: string; mems: string }[] = [];
  const mountpoint = v1Mountpoint(layout, "cpuset");
  const leaf = paths.v1.cpuset;
  if (mountpoint !== undefined && leaf !== undefined) {
    let cpus = "";
    let mems = "";
    for (const folder of ancestry(mountpoint, leaf)) {
      const ownCpus = sys.readTextIfAny(`${folder}/cpuset.cpus`)?.trim() ?? "";
      const ownMems = sys.readTextIfAny(`${folder}/cpuset.mems`)?.trim() ?? "";
      // A cpuset without CPUs or memory nodes accepts no process, so it gets its parent's.
      if (ownCpus === "" || ownMems === "") cpusets.push({ folder, cpus, mems });
      cpus = ownCpus || cpus;
      mems = ownMems || mems;
    }
  }
  const delegate: { folder: string; controllers: string[] }[] = [];
  if (layout.unified !== undefined && paths.unified !== undefined && !systemd) {
    const available =
      sys.readTextIfAny(`${layout.unified}/cgroup.controllers`)?.split(/\s+/).filter(Boolean) ?? [];
    if (available.length > 0) {
      for (const folder of ancestry(layout.unified, paths.unified).slice(0, -1)) {
        const enabled = new Set(
          sys.readTextIfAny(`${folder}/cgroup.subtree_control`)?.split(/\s+/).filter(Boolean) ?? [],
        );
        const missing = available.filter((c) => !enabled.has(c));
        if (missing.length > 0) delegate.push({ folder, controllers: missing });
      }
    }
  }
  return { cpusets, delegate };
}
