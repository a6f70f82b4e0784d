/** events: reports a container's resource usage at intervals, and OOM kills as they happen. */
import { BerthError } from "@berth/base";
import { readOom, readStats } from "../cgroups/stats.ts";
import { readRecord } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { statusOf } from "../state/status.ts";

/** An event, in runc's format. */
export interface ContainerEvent {
  type: "stats" | "oom";
  id: string;
  data?: Record<string, unknown>;
}

// Version 1 has no file that reports OOM kills by poll(2), so the counter is polled.
const POLL_INTERVAL_MS = 100;

/** Reads the resource usage of a container that has not stopped. */
export function stats(runtime: Runtime, id: string): ContainerEvent {
  const record = readRecord(runtime.sys, runtime.root, id);
  if (statusOf(runtime.sys, runtime.root, record) === "stopped")
    throw new BerthError("failed_precondition", `container with id ${id} is not running`, {
      stage: "events",
    });
  return { type: "stats", id, data: readStats(runtime.sys, record.cgroup) };
}

/** Reports stats every `intervalMs` and each OOM kill, until the container has stopped. */
export async function follow(
  runtime: Runtime,
  id: string,
  intervalMs: number,
  onEvent: (event: ContainerEvent) => void,
): Promise<void> {
  const { sys, root } = runtime;
  const record = readRecord(sys, root, id);
  if (statusOf(sys, root, record) === "stopped")
    throw new BerthError("failed_precondition", `container with id ${id} is not running`, {
      stage: "events",
    });
  let previous = readOom(sys, record.cgroup);
  for (let next = sys.monotonicMs() + intervalMs; ; ) {
    await sys.sleep(Math.max(1, Math.min(POLL_INTERVAL_MS, next - sys.monotonicMs())));
    const current = readOom(sys, record.cgroup);
    // With the OOM killer disabled (version 1) nothing is killed, and being under OOM is the event.
    if (current.kills > previous.kills || (current.under && !previous.under)) onEvent({ type: "oom", id });
    previous = current;
    if (statusOf(sys, root, record) === "stopped") return;
    if (sys.monotonicMs() < next) continue;
    onEvent({ type: "stats", id, data: readStats(sys, record.cgroup) });
    next += intervalMs;
    if (next < sys.monotonicMs()) next = sys.monotonicMs() + intervalMs;
  }
}
