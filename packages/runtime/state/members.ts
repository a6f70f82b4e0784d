/** Who belongs to a container: by its cgroup, or where it has none, by its pid namespace or by descent. */
import { isCode } from "@berth/base";
import type { Sys } from "@berth/sys";
import { cgroupFolders } from "../cgroups/paths.ts";
import { cgroupPids } from "../cgroups/processes.ts";
import { descendants } from "./descendants.ts";
import { type ContainerRecord, isAlive, processStat } from "./record.ts";

/** Tells whether a container has a cgroup of its own in any hierarchy. */
export function hasCgroup(record: ContainerRecord): boolean {
  return cgroupFolders(record.cgroup).length > 0;
}

/** The pid namespace of a process; undefined when it is gone, or of no concern to who we are. */
function pidNamespace(sys: Sys, pid: number | "self"): string | undefined {
  try {
    return sys.readlink(`/proc/${pid}/ns/pid`);
  } catch (error) {
    if (isCode(error, "permission_denied")) return undefined;
    throw error;
  }
}

/** Processes of the pid namespace that the first process is in, where that is not ours. */
function inItsNamespace(sys: Sys, record: ContainerRecord): number[] {
  const its = pidNamespace(sys, record.pid);
  if (its === undefined || its === pidNamespace(sys, "self")) return [];
  const pids = (sys.list("/proc") ?? []).filter((name) => /^\d+$/.test(name)).map(Number);
  return pids.filter((pid) => pidNamespace(sys, pid) === its && processStat(sys, pid)?.state !== "Z");
}

/** Host pids of a container's processes in ascending order. Without a cgroup, those that outlive the first are unknown. */
export function membersOf(sys: Sys, record: ContainerRecord): number[] {
  if (hasCgroup(record)) return cgroupPids(sys, record.cgroup);
  if (!isAlive(sys, record)) return [];
  const found = new Set([...descendants(sys, record.pid), ...inItsNamespace(sys, record)]);
  return [...found].sort((a, b) => a - b);
}
