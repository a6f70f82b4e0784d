/** Signals a container's processes, and removes their groups: the cgroup, and resctrl groups if any. */
import { BerthError, SIGKILL } from "@berth/base";
import type { Sys } from "@berth/sys";
import { removeCgroup, signalAll } from "../cgroups/processes.ts";
import { hasCgroup, membersOf } from "../state/members.ts";
import { type ContainerRecord, isAlive } from "../state/record.ts";

const SIGSTOP = 19;
const EXIT_TIMEOUT_MS = 10_000;
const MAX_ROUNDS = 100;

/**
 * Sends a signal to every process of a container. Without a cgroup to freeze, processes are stopped before SIGKILL, so
 * that none escapes by forking.
 */
export async function signalMembers(sys: Sys, record: ContainerRecord, signal: number): Promise<void> {
  if (hasCgroup(record)) return signalAll(sys, record.cgroup, signal);
  const found = new Set<number>();
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const fresh = membersOf(sys, record).filter((pid) => !found.has(pid));
    if (fresh.length === 0) break;
    for (const pid of fresh) {
      found.add(pid);
      if (signal === SIGKILL) sys.kill(pid, SIGSTOP);
    }
    if (signal !== SIGKILL) break;
  }
  for (const pid of found) sys.kill(pid, signal);
}

/** Kills a container's processes and waits for the init process to exit. */
export async function killNow(sys: Sys, record: ContainerRecord): Promise<void> {
  if (hasCgroup(record)) sys.kill(record.pid, SIGKILL);
  await signalMembers(sys, record, SIGKILL);
  for (let waited = 0, step = 0.5; isAlive(sys, record); waited += step, step = Math.min(step * 2, 100)) {
    if (waited > EXIT_TIMEOUT_MS) {
      throw new BerthError(
        "deadline_exceeded",
        `process ${record.pid} of container ${record.id} does not die`,
        {
          stage: "kill",
          hint: `see /proc/${record.pid}/stack and its state in ps: D is a hang in the kernel`,
        },
      );
    }
    await sys.sleep(step);
  }
}

/** Removes a container's cgroup and resctrl groups, and kills their remaining processes. */
export async function removeGroups(sys: Sys, record: ContainerRecord): Promise<void> {
  await removeCgroup(sys, record.cgroup);
  if (record.rdt === undefined) return;
  const { removeRdt } = await import("../rdt/groups.ts");
  removeRdt(sys, record.rdt.made);
}
