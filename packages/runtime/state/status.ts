/** The state machine. A container's status is derived from the machine each time, and never stored. */
import { present } from "@berth/base";
import type { ContainerStatus, State } from "@berth/oci";
import type { Sys } from "@berth/sys";
import { isFrozen } from "../cgroups/freezer.ts";
import { type ContainerRecord, containerFiles, isAlive } from "./record.ts";

/** Derives a container's status: creating, created, running, paused or stopped. */
export function statusOf(sys: Sys, root: string, record: ContainerRecord): ContainerStatus {
  if (record.pid === 0) return "creating";
  if (!isAlive(sys, record)) return "stopped";
  if (isFrozen(sys, record.cgroup)) return "paused";
  if (sys.stat(containerFiles(root, record.id).fifo) === undefined) return "running";
  return hasExecuted(sys, record.pid) ? "running" : "created";
}

/** Whether the process has executed its program; needed if a start was interrupted before it removed the gate. */
function hasExecuted(sys: Sys, pid: number): boolean {
  const words = sys.readTextIfAny(`/proc/${pid}/cmdline`)?.split("\0");
  return words?.[0] !== undefined && words[0] !== "" && words[0] !== "berth-init";
}

/** The specification's state, for hooks and `state`. */
export function ociState(record: ContainerRecord, status: ContainerStatus): State {
  return {
    ociVersion: record.ociVersion,
    id: record.id,
    status,
    pid: status === "stopped" ? 0 : record.pid,
    bundle: record.bundle,
    ...present({ annotations: record.annotations }),
  };
}
