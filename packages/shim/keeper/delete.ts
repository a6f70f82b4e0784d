/** delete: removes a stopped process, and the task with its init process. */
import { BerthError } from "@berth/base";
import * as runtime from "@berth/runtime";
import type { Exit, ProcessRef } from "../contract/task-shim.ts";
import type { ShimContext, Task } from "./context.ts";
import type { KeeperProcess } from "./keeper-process.ts";

/** See {@link TaskShim.delete}. Concurrent calls share the result. */
export async function remove(shim: ShimContext, ref: ProcessRef): Promise<Exit & { pid: number }> {
  const { task, process } = shim.process(ref);
  const { record } = process;
  if (process.deleting !== undefined) return process.deleting;
  if (process.status === "running" || process.starting !== undefined) {
    throw new BerthError(
      "failed_precondition",
      `${record.execId === "" ? `task ${task.id}` : `process ${record.execId}`} must be stopped before deletion: running`,
      { stage: "delete", hint: "kill it and wait for its end" },
    );
  }
  process.deleting = record.execId === "" ? removeTask(shim, task, process) : removeExec(shim, task, process);
  try {
    return await process.deleting;
  } finally {
    process.deleting = undefined;
  }
}

async function removeTask(
  shim: ShimContext,
  task: Task,
  process: KeeperProcess,
): Promise<Exit & { pid: number }> {
  const { namespace, id } = task;
  await runtime.remove(shim.runtimeOf(task), id, true);
  // Keepers of added processes write exit records: they must be there before the records are removed.
  await Promise.all([...task.processes.values()].map(ended));
  shim.tasks.delete(`${namespace}/${id}`);
  forgetTask(shim, task);
  return reportDeleted(shim, task, process);
}

/** How long a keeper may take to report the exit of a killed process. */
const REPORT_MS = 5000;

/** Waits for the exit of a process that was killed, perhaps during its start. */
async function ended(process: KeeperProcess): Promise<void> {
  await process.starting?.catch(() => undefined);
  if (process.record.pid === 0 || process.exit !== undefined) return;
  await process.wait(AbortSignal.timeout(REPORT_MS)).catch(() => undefined);
}

/**
 * Removes the shim's files of a task. The record goes first, atomically: a crash leaves either a stopped task, or files that
 * are known to be garbage.
 */
export function forgetTask(shim: ShimContext, task: Task): void {
  const { sys, folders } = shim;
  const tokens = [...task.processes.values()].map((p) => p.record.token);
  const gone = folders.gone(task.namespace, tokens[0]!);
  if (task.foreignBundle) {
    for (const execId of task.processes.keys()) sys.unlink(folders.record(task.bundle, execId));
  } else sys.rename(task.bundle, gone);
  for (const process of task.processes.values()) process.link?.close();
  for (const token of tokens) folders.forget(sys, token);
  if (!task.foreignBundle) sys.removeTree(gone);
}

async function removeExec(
  shim: ShimContext,
  task: Task,
  process: KeeperProcess,
): Promise<Exit & { pid: number }> {
  const { execId, token } = process.record;
  const { sys, folders } = shim;
  // As for a task: from here on it is gone, and its files are known to be garbage.
  const gone = folders.goneProcess(task.bundle, execId);
  sys.rename(folders.record(task.bundle, execId), gone);
  task.processes.delete(execId);
  process.link?.close();
  folders.forget(sys, token);
  sys.unlink(gone);
  return reportDeleted(shim, task, process);
}

function reportDeleted(shim: ShimContext, task: Task, process: KeeperProcess): Exit & { pid: number } {
  const { namespace, id } = task;
  const { execId, pid } = process.record;
  const exit = process.exit ?? { exitStatus: 0, exitedAt: 0n };
  shim.emit({ topic: "/tasks/delete", namespace, id, execId, pid, ...exit });
  return { ...exit, pid };
}
