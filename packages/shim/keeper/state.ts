/** State of a task's processes. */
import { isCode } from "@berth/base";
import * as runtime from "@berth/runtime";
import type { ProcessRef, TaskState } from "../contract/task-shim.ts";
import type { ShimContext, Task } from "./context.ts";
import type { KeeperProcess } from "./keeper-process.ts";

function isPaused(shim: ShimContext, task: Task): boolean {
  try {
    const { sys, root } = shim.runtimeOf(task);
    // Read at each listing, and constant for a container.
    task.cgroup ??= runtime.readRecord(sys, root, task.id).cgroup;
    return runtime.isFrozen(sys, task.cgroup);
  } catch (error) {
    // A checkpoint has just ended it.
    if (isCode(error, "not_found")) return false;
    throw error;
  }
}

/** The state of one process. */
export function stateOf(shim: ShimContext, task: Task, process: KeeperProcess): TaskState {
  const { record } = process;
  const { namespace, id, bundle } = task;
  let status: TaskState["status"] = process.status;
  if (status === "running" && record.execId === "" && isPaused(shim, task)) status = "paused";
  const exit = process.exit ?? { exitStatus: 0, exitedAt: 0n };
  const { execId, pid, stdio } = record;
  return { namespace, id, execId, pid, status, bundle, stdio, ...exit };
}

/** See {@link TaskShim.pids}. */
export function pidsOf(shim: ShimContext, ref: ProcessRef): { pid: number; execId?: string }[] {
  const task = shim.task(ref);
  const execs = new Map(
    [...task.processes.values()]
      .filter((p) => p.record.execId !== "")
      .map((p) => [p.record.pid, p.record.execId]),
  );
  return runtime.pids(shim.runtimeOf(task), task.id).map((pid) => {
    const execId = execs.get(pid);
    return execId === undefined ? { pid } : { pid, execId };
  });
}
