/** start: a created container's process, or an added one, begins to run. */
import { BerthError, SIGKILL, stage, systemClock } from "@berth/base";
import * as runtime from "@berth/runtime";
import type { ProcessRef } from "../contract/task-shim.ts";
import type { ShimContext, Task } from "./context.ts";
import { follow, reaped } from "./follow.ts";
import type { KeeperProcess } from "./keeper-process.ts";
import { withSettings } from "./launch-settings.ts";
import { restoreTask } from "./restore.ts";

/** How long a process that could not execute may take to end. */
const FAILED_START_MS = 2000;
/** Codes of a failed start that leave the process as it was. */
const STILL_THERE: ReadonlySet<string> = new Set(["failed_precondition", "deadline_exceeded", "canceled"]);

/** See {@link TaskShim.start}. A start that is under way is joined by who asks for the same. */
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
    // A client deletes next, and only what has ended: a process that could not execute is about to.
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
    checkThere(shim, task);
    if (process.record.checkpoint !== undefined) await restoreTask(shim, task, process);
    else await stage("runtime start", { id }, () => runtime.start(shim.runtimeOf(task), id));
  });
  checkThere(shim, task);
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
      checkThere(shim, task);
      const pid = await launchExec(shim, task, process);
      shim.setPid(record, pid);
      // Its bundle may be another task's by now.
      checkThere(shim, task);
      record.started = true;
      shim.save(task, record);
      shim.emit({ topic: "/tasks/exec-started", namespace, id, execId, pid });
      await follow(shim, task, process);
    } catch (error) {
      // What could not be written down must not run on unseen.
      if (record.pid !== 0 && shim.isSame(record)) shim.sys.kill(record.pid, SIGKILL);
      await reaped(shim, process.keeperPid);
      shim.folders.forget(shim.sys, record.token);
      process.end({ exitStatus: exitStatusOf(error), exitedAt: systemClock.wall() });
      throw error;
    }
  });
}

/** A start may have waited its turn: the task may have been deleted since, and another one made. */
function checkThere(shim: ShimContext, task: Task): void {
  if (shim.tasks.get(`${task.namespace}/${task.id}`) !== task)
    throw new BerthError("not_found", `task ${task.id} was deleted meanwhile`, { stage: "start" });
}

/** Makes the added process; its pid, once it executes. */
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

/** Exit status of a process that could not be started, by docker's table: 127 not found, 126 not executable. */
function exitStatusOf(error: unknown): number {
  const { code } = BerthError.from(error);
  return code === "not_found" ? 127 : 126;
}
