/** pause and resume: freezing a container's cgroup. */
import { BerthError } from "@berth/base";
import type { Sys } from "@berth/sys";
import { setFrozen } from "../cgroups/freezer.ts";
import { cgroupPids } from "../cgroups/processes.ts";
import { type ContainerRecord, readRecord } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { statusOf } from "../state/status.ts";

const SIGKILL_BIT = 1n << 8n;
/** How long a killed process is thawed per attempt, and for how long attempts are made. */
const THAW_MS = 5;
const TIMEOUT_MS = 2000;

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
 * Freezes a container, but no process with SIGKILL pending: on version 1 it would not die while frozen, although the kill
 * came before the pause. Such a process is thawed until it has exited.
 */
async function freeze(sys: Sys, record: ContainerRecord): Promise<void> {
  for (let waited = 0; ; waited += THAW_MS) {
    await setFrozen(sys, record.cgroup, true);
    const dying = cgroupPids(sys, record.cgroup).filter((pid) => isBeingKilled(sys, pid));
    if (dying.length === 0) return;
    await setFrozen(sys, record.cgroup, false);
    if (dying.includes(record.pid))
      throw new BerthError("failed_precondition", "container not running or created: it is being killed", {
        stage: "pause",
      });
    if (waited >= TIMEOUT_MS)
      throw new BerthError(
        "deadline_exceeded",
        `process ${dying[0]} of container ${record.id} does not die`,
        {
          stage: "pause",
          hint: `see /proc/${dying[0]}/stack and its state in ps: D is a hang in the kernel`,
        },
      );
    await sys.sleep(THAW_MS);
  }
}

/** Whether a process has SIGKILL pending. */
function isBeingKilled(sys: Sys, pid: number): boolean {
  const status = sys.readTextIfAny(`/proc/${pid}/status`) ?? "";
  return [...status.matchAll(/^(?:Sig|Shd)Pnd:\s*([0-9a-f]+)/gm)].some(
    ([, mask]) => (BigInt(`0x${mask}`) & SIGKILL_BIT) !== 0n,
  );
}

/** Resumes a paused container. */
export async function resume(runtime: Runtime, id: string): Promise<void> {
  const record = readRecord(runtime.sys, runtime.root, id);
  const status = statusOf(runtime.sys, runtime.root, record);
  if (status !== "paused") {
    throw new BerthError("failed_precondition", `container not paused: ${status}`, { stage: "resume" });
  }
  await setFrozen(runtime.sys, record.cgroup, false);
}
