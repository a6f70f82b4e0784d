/** What a plan must know of the host's cgroups before it can be compiled. */
import type { Sys } from "@berth/sys";
import type { CgroupLayout } from "./layout.ts";
import { v1Mountpoint } from "./layout.ts";
import type { CgroupPaths } from "./paths.ts";

/** A fact or two that differ from host to host. */
export interface CgroupFacts {
  /** Version 1 cpuset folders that are new or empty, from the top, with the values they inherit. */
  readonly cpusets: readonly { folder: string; cpus: string; mems: string }[];
  /** Unified folders, from the root to the parent, and the controllers to switch on for their children. */
  readonly delegate: readonly { folder: string; controllers: readonly string[] }[];
}

/** Folders from the mount point down to `folder`, both included. */
function chain(mountpoint: string, folder: string): string[] {
  const out = [mountpoint];
  for (const part of folder.slice(mountpoint.length).split("/").filter(Boolean))
    out.push(`${out.at(-1)}/${part}`);
  return out;
}

/** Reads them; nothing is changed. Where systemd makes the cgroup, switching on controllers is its business. */
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
    for (const folder of chain(mountpoint, leaf)) {
      const ownCpus = sys.readTextIfAny(`${folder}/cpuset.cpus`)?.trim() ?? "";
      const ownMems = sys.readTextIfAny(`${folder}/cpuset.mems`)?.trim() ?? "";
      // A cpuset without processors or memory takes no process: a new one starts as its parent is.
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
      for (const folder of chain(layout.unified, paths.unified).slice(0, -1)) {
        const on = new Set(
          sys.readTextIfAny(`${folder}/cgroup.subtree_control`)?.split(/\s+/).filter(Boolean) ?? [],
        );
        const missing = available.filter((c) => !on.has(c));
        if (missing.length > 0) delegate.push({ folder, controllers: missing });
      }
    }
  }
  return { cpusets, delegate };
}
