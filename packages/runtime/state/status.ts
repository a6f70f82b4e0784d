/** The state machine: what a container is doing, found out from the machine each time, never remembered. */
import type { ContainerStatus, State } from "@berth/oci";
import type { Sys } from "@berth/sys";
import { isFrozen } from "../cgroups/freezer.ts";
import { type ContainerRecord, containerFiles, isAlive } from "./record.ts";

/** Status of a container: creating, created, running, paused or stopped. */
export function statusOf(sys: Sys, root: string, record: ContainerRecord): ContainerStatus {
  if (record.pid === 0) return "creating";
  if (!isAlive(sys, record)) return "stopped";
  if (isFrozen(sys, record.cgroup)) return "paused";
  if (sys.stat(containerFiles(root, record.id).fifo) === undefined) return "running";
  return executes(sys, record.pid) ? "running" : "created";
}

/** A start that was cut short has let the process go, and not taken the gate away. */
function executes(sys: Sys, pid: number): boolean {
  const words = sys.readTextIfAny(`/proc/${pid}/cmdline`)?.split("\0");
  return words?.[0] !== undefined && words[0] !== "" && words[0] !== "berth-init";
}

/** The state as hooks and `state` see it. */
export function ociState(record: ContainerRecord, status: ContainerStatus): State {
  return {
    ociVersion: record.ociVersion,
    id: record.id,
    status,
    pid: status === "stopped" ? 0 : record.pid,
    bundle: record.bundle,
    ...(record.annotations === undefined ? {} : { annotations: record.annotations }),
  };
}
