/** What a container's processes were grouped in: its cgroup, and resctrl groups where it has them. */
import { BerthError, SIGKILL } from "@berth/base";
import type { Sys } from "@berth/sys";
import { removeCgroup, signalAll } from "../cgroups/processes.ts";
import { hasCgroup, membersOf } from "../state/members.ts";
import { type ContainerRecord, isAlive } from "../state/record.ts";

const SIGSTOP = 19;
const DEATH_LIMIT_MS = 10_000;

const GATHER_LIMIT = 100;

/** Sends a signal to every process of a container; where no cgroup freezes them, SIGKILL stops them before. */
export async function signalMembers(sys: Sys, record: ContainerRecord, signal: number): Promise<void> {
  if (hasCgroup(record)) return signalAll(sys, record.cgroup, signal);
  const found = new Set<number>();
  for (let turn = 0; turn < GATHER_LIMIT; turn++) {
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

/** Kills a container's processes and waits for the first one's end. */
export async function killNow(sys: Sys, record: ContainerRecord): Promise<void> {
  if (hasCgroup(record)) sys.kill(record.pid, SIGKILL);
  await signalMembers(sys, record, SIGKILL);
  for (let waited = 0, step = 0.5; isAlive(sys, record); waited += step, step = Math.min(step * 2, 100)) {
    if (waited > DEATH_LIMIT_MS) {
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

/** Removes a container's groups, killing what is left in them. */
export async function removeGroups(sys: Sys, record: ContainerRecord): Promise<void> {
  await removeCgroup(sys, record.cgroup);
  if (record.rdt === undefined) return;
  const { removeRdt } = await import("../rdt/groups.ts");
  removeRdt(sys, record.rdt.made);
}
