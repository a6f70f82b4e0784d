/** kill: sends a signal to a container's init process, or to all its processes. */
import { BerthError, isCode, SIGKILL } from "@berth/base";
import type { Sys } from "@berth/sys";
import { isFrozen, setFrozen } from "../cgroups/freezer.ts";
import { hasCgroup } from "../state/members.ts";
import { type ContainerRecord, isAlive, readCreatedSpec, readRecord } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { signalMembers } from "./groups.ts";

function notRunning(id: string): BerthError {
  return new BerthError("failed_precondition", "container not running", {
    stage: "kill",
    hint: `delete it with berth-runc delete ${id}`,
  });
}

/** Whether the container has no pid namespace of its own, so that its other processes outlive init. */
function sharesPids(runtime: Runtime, record: ContainerRecord): boolean {
  if (!record.namespaces.includes("pid")) return true;
  const { linux } = readCreatedSpec(runtime.sys, runtime.root, record.id);
  return linux?.namespaces?.some((n) => n.type === "pid" && n.path) ?? false;
}

/**
 * Sends a signal; "failed_precondition" with runc's message if the container is not running. SIGKILL goes to all processes
 * if killing init would not end the others. With `all`, a stopped container is not an error.
 */
export async function kill(runtime: Runtime, id: string, signal: number, all: boolean): Promise<void> {
  const { sys, root } = runtime;
  const record = readRecord(sys, root, id);
  if (all || (signal === SIGKILL && sharesPids(runtime, record))) return signalMembers(sys, record, signal);
  if (!isAlive(sys, record)) throw notRunning(id);
  const pidfd = sys.pidfdOpen(record.pid);
  if (pidfd === undefined) throw notRunning(id);
  try {
    // Checked again with the pidfd open, which refers to this process even if the pid is reused later.
    if (!isAlive(sys, record) || !sys.pidfdSignal(pidfd, signal)) throw notRunning(id);
  } finally {
    sys.close(pidfd);
  }
  if (signal === SIGKILL) await thawFrozen(sys, record);
}

/**
 * Thaws a container, if it is frozen, after SIGKILL was sent to one of its processes: a process frozen by version 1 does
 * not die. A pause that comes in between is given up. Returns whether the container was frozen.
 */
export async function thaw(runtime: Runtime, id: string): Promise<boolean> {
  return thawFrozen(runtime.sys, readRecord(runtime.sys, runtime.root, id));
}

async function thawFrozen(sys: Sys, record: ContainerRecord): Promise<boolean> {
  if (!hasCgroup(record) || !isFrozen(sys, record.cgroup)) return false;
  try {
    await setFrozen(sys, record.cgroup, false);
  } catch (error) {
    // The container died, and its cgroup has been removed.
    if (!isCode(error, "not_found")) throw error;
  }
  return true;
}
