/** A process and what it has started: all there is to know of a container that has no cgroup. */
import type { Sys } from "@berth/sys";
import { processStat } from "./record.ts";

/** Pids of a process and of its descendants, in ascending order; empty when it is gone. */
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
