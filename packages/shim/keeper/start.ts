/** start: runs a created container's process, or launches an added one. */
import { BerthError, SIGKILL, stage, systemClock } from "@berth/base";
import * as runtime from "@berth/runtime";
import type { ProcessRef } from "../contract/task-shim.ts";
import type { ShimContext, Task } from "./context.ts";
import { follow, reaped } from "./follow.ts";
import type { KeeperProcess } from "./keeper-process.ts";
import { withSettings } from "./launch-settings.ts";
import { restoreTask } from "./restore.ts";

/** How long a process may take to exit after a failed exec. */
const FAILED_START_MS = 2000;
/** Errors that leave the process as it was. */
const STILL_THERE: ReadonlySet<string> = new Set(["failed_precondition", "deadline_exceeded", "canceled"]);

/** See {@link TaskShim.start}. Concurrent calls share the result. */
export async function start(
  shim: ShimContext,
  ref: ProcessRef,
  signal: AbortSignal | undefined,
): Promise<{ pid: number }> {
  const { task, process } = shim.process(ref);
  const { record } = process;
  if (process.starting !== undefined) return process.starting;
  if (process.status === "stopped") {
    throw new BerthError("failed_precondition", "cannot start a container that has stopped", {
      stage: "start",
    });
  }
  if (record.started) {
    throw new BerthError("failed_precondition", "cannot start an already running container", {
      stage: "start",
    });
  }
  const begin = record.execId === "" ? startInit : startExec;
  process.starting = begin(shim, task, process, signal).then(() => ({ pid: record.pid }));
  try {
    return await process.starting;
  } catch (error) {
    process.starting = undefined;
    // Clients delete it next, for which it must have ended; after a failed exec it is about to.
    if (!STILL_THERE.has(BerthError.from(error).code))
      await process.wait(AbortSignal.timeout(FAILED_START_MS)).catch(() => undefined);
    throw error;
  } finally {
    process.starting = undefined;
  }
}

async function startInit(
  shim: ShimContext,
  task: Task,
  process: KeeperProcess,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { namespace, id } = task;
  await shim.starts.run(signal, async () => {
    checkCurrent(shim, task);
    if (process.record.checkpoint !== undefined) await restoreTask(shim, task, process);
    else await stage("runtime start", { id }, () => runtime.start(shim.runtimeOf(task), id));
  });
  checkCurrent(shim, task);
  process.record.started = true;
  shim.save(task, process.record);
  shim.emit({ topic: "/tasks/start", namespace, id, pid: process.record.pid });
}

async function startExec(
  shim: ShimContext,
  task: Task,
  process: KeeperProcess,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { namespace, id } = task;
  const { record } = process;
  const { execId } = record;
  await shim.starts.run(signal, async () => {
    try {
      checkCurrent(shim, task);
      const pid = await launchExec(shim, task, process);
      shim.setPid(record, pid);
      // The bundle may belong to another task by now.
      checkCurrent(shim, task);
      record.started = true;
      shim.save(task, record);
      shim.emit({ topic: "/tasks/exec-started", namespace, id, execId, pid });
      await follow(shim, task, process);
    } catch (error) {
      // Without a record it must not run on.
      if (record.pid !== 0 && shim.isSame(record)) shim.sys.kill(record.pid, SIGKILL);
      await reaped(shim, process.keeperPid);
      shim.folders.forget(shim.sys, record.token);
      process.end({ exitStatus: exitStatusOf(error), exitedAt: systemClock.wall() });
      throw error;
    }
  });
}

/** Fails if the task was deleted, or replaced, while the start was queued. */
function checkCurrent(shim: ShimContext, task: Task): void {
  if (shim.tasks.get(`${task.namespace}/${task.id}`) !== task)
    throw new BerthError("not_found", `task ${task.id} was deleted meanwhile`, { stage: "start" });
}

/** Launches an added process; resolves with its pid after exec. */
function launchExec(shim: ShimContext, task: Task, process: KeeperProcess): Promise<number> {
  const { id } = task;
  const { record } = process;
  return stage("runtime exec", { id, exec: record.execId }, () =>
    withSettings(shim, task, record, async (settings) => {
      const made = await runtime.exec(shim.runtimeOf(task), {
        ...settings,
        id,
        process: JSON.parse(record.process ?? "{}"),
        wait: false,
      });
      process.keeperPid = made.initPid;
      await made.exit();
      return made.pid;
    }),
  );
}

/** Exit status of a failed start, as docker's: 127 not found, 126 not executable. */
function exitStatusOf(error: unknown): number {
  const { code } = BerthError.from(error);
  return code === "not_found" ? 127 : 126;
}
