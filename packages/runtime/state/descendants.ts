/** Process trees, by which the processes of a container without a cgroup are found. */
import type { Sys } from "@berth/sys";
import { processStat } from "./record.ts";

/** Pids of a process and its descendants, in ascending order; empty if the process is gone. */
export function descendants(sys: Sys, pid: number): number[] {
  if (processStat(sys, pid) === undefined) return [];
  const children = new Map<number, number[]>();
  for (const name of sys.list("/proc") ?? []) {
    const stat = /^\d+$/.test(name) ? processStat(sys, Number(name)) : undefined;
    if (stat !== undefined) children.set(stat.parent, [...(children.get(stat.parent) ?? []), Number(name)]);
  }
  const found = [pid];
  for (const parent of found) found.push(...(children.get(parent) ?? []));
  return found.sort((a, b) => a - b);
}
