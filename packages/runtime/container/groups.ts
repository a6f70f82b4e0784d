/** What a container's processes were grouped in: its cgroup, and resctrl groups where it has them. */
import { BerthError } from "@berth/base";
import type { Sys } from "@berth/sys";
import { removeCgroup, signalAll } from "../cgroups/processes.ts";
import { type ContainerRecord, isAlive } from "../state/record.ts";

const SIGKILL = 9;
const DEATH_LIMIT_MS = 10_000;

/** Kills a container's processes and waits for the first one's end. */
export async function killNow(sys: Sys, record: ContainerRecord): Promise<void> {
  sys.kill(record.pid, SIGKILL);
  await signalAll(sys, record.cgroup, SIGKILL);
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
