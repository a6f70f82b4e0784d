/** kill: a signal to a container's first process, or to all. */
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

/** Without a pid namespace of the container's own, its other processes outlive the first one. */
function sharesPids(runtime: Runtime, record: ContainerRecord): boolean {
  if (!record.namespaces.includes("pid")) return true;
  const { linux } = readCreatedSpec(runtime.sys, runtime.root, record.id);
  return linux?.namespaces?.some((n) => n.type === "pid" && n.path) ?? false;
}

/**
 * Sends the signal; runc's message when the container is not running. SIGKILL takes all processes of a container whose
 * first one does not take the others with it. With `all` it is no error that the container has stopped.
 */
export async function kill(runtime: Runtime, id: string, signal: number, all: boolean): Promise<void> {
  const { sys, root } = runtime;
  const record = readRecord(sys, root, id);
  if (all || (signal === SIGKILL && sharesPids(runtime, record))) return signalMembers(sys, record, signal);
  if (!isAlive(sys, record)) throw notRunning(id);
  const pidfd = sys.pidfdOpen(record.pid);
  if (pidfd === undefined) throw notRunning(id);
  try {
    // Looked at once more behind the pidfd: now the pid cannot have become another's.
    if (!isAlive(sys, record) || !sys.pidfdSignal(pidfd, signal)) throw notRunning(id);
  } finally {
    sys.close(pidfd);
  }
  if (signal === SIGKILL) await thawFrozen(sys, record);
}

/**
 * Lets a container go on if it is paused, after SIGKILL was sent to a process of it: frozen by version 1, that does not die.
 * A pause that comes between the two gives up. Tells whether it was paused.
 */
export async function thaw(runtime: Runtime, id: string): Promise<boolean> {
  return thawFrozen(runtime.sys, readRecord(runtime.sys, runtime.root, id));
}

async function thawFrozen(sys: Sys, record: ContainerRecord): Promise<boolean> {
  if (!hasCgroup(record) || !isFrozen(sys, record.cgroup)) return false;
  try {
    await setFrozen(sys, record.cgroup, false);
  } catch (error) {
    // It died of it, and somebody has removed the cgroup.
    if (!isCode(error, "not_found")) throw error;
  }
  return true;
}
