/** pause and resume: freezing a container's cgroup. */
import { BerthError } from "@berth/base";
import type { Sys } from "@berth/sys";
import { setFrozen } from "../cgroups/freezer.ts";
import { cgroupPids } from "../cgroups/processes.ts";
import { type ContainerRecord, readRecord } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { statusOf } from "../state/status.ts";

const SIGKILL_BIT = 1n << 8n;
/** How long a process that was killed is let run before the container is frozen again, and how often that is at most. */
const DYING_MS = 5;
const LIMIT_MS = 2000;

/** Suspends all processes of a running or created container. */
export async function pause(runtime: Runtime, id: string): Promise<void> {
  const record = readRecord(runtime.sys, runtime.root, id);
  const status = statusOf(runtime.sys, runtime.root, record);
  if (status !== "running" && status !== "created") {
    throw new BerthError("failed_precondition", `container not running or created: ${status}`, {
      stage: "pause",
    });
  }
  await freeze(runtime.sys, record);
}

/**
 * Freezes a container, but nobody whom SIGKILL has reached: a kill that came first would find it frozen only from now on, and
 * a frozen process of version 1 does not die. Such a process is let go on until it has ended.
 */
async function freeze(sys: Sys, record: ContainerRecord): Promise<void> {
  for (let waited = 0; ; waited += DYING_MS) {
    await setFrozen(sys, record.cgroup, true);
    const dying = cgroupPids(sys, record.cgroup).filter((pid) => isBeingKilled(sys, pid));
    if (dying.length === 0) return;
    await setFrozen(sys, record.cgroup, false);
    if (dying.includes(record.pid))
      throw new BerthError("failed_precondition", "container not running or created: it is being killed", {
        stage: "pause",
      });
    if (waited >= LIMIT_MS)
      throw new BerthError(
        "deadline_exceeded",
        `process ${dying[0]} of container ${record.id} does not die`,
        {
          stage: "pause",
          hint: `see /proc/${dying[0]}/stack and its state in ps: D is a hang in the kernel`,
        },
      );
    await sys.sleep(DYING_MS);
  }
}

/** Whether SIGKILL waits for a process. */
function isBeingKilled(sys: Sys, pid: number): boolean {
  const status = sys.readTextIfAny(`/proc/${pid}/status`) ?? "";
  return [...status.matchAll(/^(?:Sig|Shd)Pnd:\s*([0-9a-f]+)/gm)].some(
    ([, mask]) => (BigInt(`0x${mask}`) & SIGKILL_BIT) !== 0n,
  );
}

/** Lets a paused container go on. */
export async function resume(runtime: Runtime, id: string): Promise<void> {
  const record = readRecord(runtime.sys, runtime.root, id);
  const status = statusOf(runtime.sys, runtime.root, record);
  if (status !== "paused") {
    throw new BerthError("failed_precondition", `container not paused: ${status}`, { stage: "resume" });
  }
  await setFrozen(runtime.sys, record.cgroup, false);
}
