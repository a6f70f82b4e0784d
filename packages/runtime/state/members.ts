/** Finds a container's processes: by its cgroup, or without one by its pid namespace and by descent. */
import { isCode } from "@berth/base";
import type { Sys } from "@berth/sys";
import { cgroupFolders } from "../cgroups/paths.ts";
import { cgroupPids } from "../cgroups/processes.ts";
import { descendants } from "./descendants.ts";
import { type ContainerRecord, isAlive, processStat } from "./record.ts";

/** Whether a container has its own cgroup in any hierarchy. */
export function hasCgroup(record: ContainerRecord): boolean {
  return cgroupFolders(record.cgroup).length > 0;
}

/** The pid namespace of a process; undefined if it is gone or the caller lacks permission. */
function pidNamespace(sys: Sys, pid: number | "self"): string | undefined {
  try {
    return sys.readlink(`/proc/${pid}/ns/pid`);
  } catch (error) {
    if (isCode(error, "permission_denied")) return undefined;
    throw error;
  }
}

/** Processes in the init process's pid namespace, if that is not the caller's. */
function inPidNamespace(sys: Sys, record: ContainerRecord): number[] {
  const namespace = pidNamespace(sys, record.pid);
  if (namespace === undefined || namespace === pidNamespace(sys, "self")) return [];
  const pids = (sys.list("/proc") ?? []).filter((name) => /^\d+$/.test(name)).map(Number);
  return pids.filter((pid) => pidNamespace(sys, pid) === namespace && processStat(sys, pid)?.state !== "Z");
}

/** Host pids of a container's processes in ascending order. Without a cgroup, none are found once init has exited. */
export function membersOf(sys: Sys, record: ContainerRecord): number[] {
  if (hasCgroup(record)) return cgroupPids(sys, record.cgroup);
  if (!isAlive(sys, record)) return [];
  const found = new Set([...descendants(sys, record.pid), ...inPidNamespace(sys, record)]);
  return [...found].sort((a, b) => a - b);
}
