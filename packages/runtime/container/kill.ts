/** kill: a signal to a container's first process, or to all. */
import { BerthError } from "@berth/base";
import { signalAll } from "../cgroups/processes.ts";
import { isAlive, readRecord } from "../state/record.ts";
import type { Runtime } from "./context.ts";

/** Sends the signal; runc's message when the container is not running. */
export async function kill(runtime: Runtime, id: string, signal: number, all: boolean): Promise<void> {
  const { sys, root } = runtime;
  const record = readRecord(sys, root, id);
  // Without a pid namespace, processes outlive the first one: `all` reaches them.
  const shared = !record.namespaces.includes("pid");
  if (all) {
    if (!isAlive(sys, record) && !shared)
      throw new BerthError("failed_precondition", "container not running", { stage: "kill" });
    return signalAll(sys, record.cgroup, signal);
  }
  if (!isAlive(sys, record)) {
    throw new BerthError("failed_precondition", "container not running", {
      stage: "kill",
      hint: `delete it with berth-runc delete ${id}`,
    });
  }
  const pidfd = sys.pidfdOpen(record.pid);
  if (pidfd === undefined)
    throw new BerthError("failed_precondition", "container not running", { stage: "kill" });
  try {
    // Looked at once more behind the pidfd: now the pid cannot have become another's.
    if (!isAlive(sys, record) || !sys.pidfdSignal(pidfd, signal)) {
      throw new BerthError("failed_precondition", "container not running", { stage: "kill" });
    }
  } finally {
    sys.close(pidfd);
  }
}
