/** events: a container's use of resources, told at intervals, and its want of memory, told at once. */
import { BerthError } from "@berth/base";
import { readOom, readStats } from "../cgroups/stats.ts";
import { readRecord } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { statusOf } from "../state/status.ts";

/** What `events` tells. */
export interface ContainerEvent {
  type: "stats" | "oom";
  id: string;
  data?: Record<string, unknown>;
}

// Version 1 has no file that tells of an OOM kill by poll(2): its counter is looked at this often.
const LOOK_MS = 100;

/** One look at a container that has not stopped. */
export function stats(runtime: Runtime, id: string): ContainerEvent {
  const record = readRecord(runtime.sys, runtime.root, id);
  if (statusOf(runtime.sys, runtime.root, record) === "stopped")
    throw new BerthError("failed_precondition", `container with id ${id} is not running`, {
      stage: "events",
    });
  return { type: "stats", id, data: readStats(runtime.sys, record.cgroup) };
}

/** Tells stats every `intervalMs` and each OOM, until the container has ended. */
export async function follow(
  runtime: Runtime,
  id: string,
  intervalMs: number,
  tell: (event: ContainerEvent) => void,
): Promise<void> {
  const { sys, root } = runtime;
  const record = readRecord(sys, root, id);
  if (statusOf(sys, root, record) === "stopped")
    throw new BerthError("failed_precondition", `container with id ${id} is not running`, {
      stage: "events",
    });
  let seen = readOom(sys, record.cgroup);
  for (let next = sys.monotonicMs() + intervalMs; ; ) {
    await sys.sleep(Math.max(1, Math.min(LOOK_MS, next - sys.monotonicMs())));
    const now = readOom(sys, record.cgroup);
    // A kill is told once; with the killer switched off, being out of memory is.
    if (now.kills > seen.kills || (now.under && !seen.under)) tell({ type: "oom", id });
    seen = now;
    if (statusOf(sys, root, record) === "stopped") return;
    if (sys.monotonicMs() < next) continue;
    tell({ type: "stats", id, data: readStats(sys, record.cgroup) });
    next += intervalMs;
    if (next < sys.monotonicMs()) next = sys.monotonicMs() + intervalMs;
  }
}
