/** pause and resume: freezing a container's cgroup. */
import { BerthError } from "@berth/base";
import type { Sys } from "@berth/sys";
import { setFrozen } from "../cgroups/freezer.ts";
import { readRecord } from "../state/record.ts";
import { statusOf } from "../state/status.ts";
import type { Runtime } from "./context.ts";

const SIGKILL_BIT = 1n << 8n;

/** Suspends all processes of a running or created container. */
export async function pause(runtime: Runtime, id: string): Promise<void> {
  const record = readRecord(runtime.sys, runtime.root, id);
  const status = statusOf(runtime.sys, runtime.root, record);
  if (status !== "running" && status !== "created") {
    throw new BerthError("failed_precondition", `container not running or created: ${status}`, {
      stage: "pause",
    });
  }
  await setFrozen(runtime.sys, record.cgroup, true);
  // A kill that came first would find it frozen only from now on, and wait for ever.
  if (!isBeingKilled(runtime.sys, record.pid)) return;
  await setFrozen(runtime.sys, record.cgroup, false);
  throw new BerthError("failed_precondition", "container not running or created: it is being killed", {
    stage: "pause",
  });
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
