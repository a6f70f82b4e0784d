/** pause and resume: freezing a container's cgroup. */
import { BerthError } from "@berth/base";
import { setFrozen } from "../cgroups/freezer.ts";
import { readRecord } from "../state/record.ts";
import { statusOf } from "../state/status.ts";
import type { Runtime } from "./context.ts";

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
