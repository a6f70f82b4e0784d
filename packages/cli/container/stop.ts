/** Ends, removes and starts tasks: what stop, restart, rm, start and run share. */
import { BerthError, isCode } from "@berth/base";
import type { BerthClient, Container, ExitStatus, Task, TaskProcess } from "@berth/client";
import { parseSignal } from "../signals.ts";
import { nameOf } from "./find.ts";
import { LABEL } from "./labels.ts";
import { removeLog } from "./log-path.ts";

/** Seconds a container gets to end by itself, as in docker. */
export const GRACE_SECONDS = 10;
// After SIGKILL a process that is not stuck in the kernel is gone at once.
const KILL_MS = 10_000;

/** Asks a task to end, kills it when it does not within the grace period; gives its exit. */
export async function stopTask(container: Container, task: Task, graceSeconds: number): Promise<ExitStatus> {
  const state = await task.state();
  if (state.status === "stopped") return task.wait();
  const ended = task.wait();
  // Looked at below; a failure before that must not end the program.
  ended.catch(() => {});
  if (state.status === "created") return forceStop(container, task, ended);
  const signal = parseSignal("stop signal", container.labels[LABEL.stopSignal] ?? "SIGTERM");
  await quietly(task.kill(signal));
  // A frozen process would not see the signal.
  if (state.status === "paused") await quietly(task.resume());
  if (graceSeconds < 0) return ended;
  return (await within(ended, graceSeconds * 1000)) ?? forceStop(container, task, ended);
}

async function forceStop(container: Container, task: Task, ended: Promise<ExitStatus>): Promise<ExitStatus> {
  await quietly(task.kill(9, { all: true }));
  const exit = await within(ended, KILL_MS);
  if (exit) return exit;
  throw new BerthError(
    "deadline_exceeded",
    `container ${nameOf(container)} did not end ${KILL_MS / 1000} s after SIGKILL`,
    {
      hint: `Look at its processes (berth top ${nameOf(container)}): one in state D waits for the kernel, often for storage.`,
    },
  );
}

/** Kills a task at once and waits for its end. */
export async function killTask(container: Container, task: Task): Promise<void> {
  const ended = task.wait();
  ended.catch(() => {});
  await quietly(task.resume());
  await forceStop(container, task, ended);
}

/** Removes a container: its task (with `force` a running one, too), snapshot, record and log. */
export async function removeContainer(
  client: BerthClient,
  container: Container,
  force: boolean,
): Promise<void> {
  const task = await container.task();
  // Another command may be removing it, too, and be faster: what is gone is as it was to be.
  if (task) await ignoreMissing(endTask(container, task, force));
  await removeEnded(client, container);
}

async function endTask(container: Container, task: Task, force: boolean): Promise<void> {
  const { status } = await task.state();
  if (status === "stopped") return;
  if (!force && status !== "created")
    throw new BerthError("failed_precondition", `container ${nameOf(container)} is ${status}`, {
      hint: `Stop it first (berth stop ${nameOf(container)}), or remove it with --force.`,
    });
  await killTask(container, task);
}

/** Removes a container whose task has ended or never was: task, snapshot, record and log. */
export async function removeEnded(client: BerthClient, container: Container): Promise<void> {
  await ignoreMissing(client.tasks.raw.delete({ containerId: container.id }));
  const { snapshotter, snapshotKey: key } = container;
  await Promise.all([
    ignoreMissing(container.delete()),
    key === "" || snapshotter === ""
      ? undefined
      : ignoreMissing(client.snapshots.raw.remove({ snapshotter, key })),
  ]);
  removeLog(container.labels);
}

// A daemon that was restarted (or killed) is back soon; its containers have gone on.
const DAEMON_BACK_MS = 60_000;
const DAEMON_POLL_MS = 200;

/** Waits for a process's end, also over a restart of the daemon. */
export async function waitForEnd(process: TaskProcess): Promise<ExitStatus> {
  let lostAt = 0;
  for (;;)
    try {
      return await process.wait();
    } catch (error) {
      if (!isCode(error, "unavailable")) throw error;
      lostAt ||= performance.now();
      if (performance.now() - lostAt > DAEMON_BACK_MS) throw error;
      await new Promise((resolve) => setTimeout(resolve, DAEMON_POLL_MS));
    }
}

/** Waits for a promise, but not longer than `ms`; undefined then. */
export async function within<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Ignores "not_found": what was to be removed is gone. */
export async function ignoreMissing(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isCode(error, "not_found")) throw error;
  }
}

// A process may end between looking and signalling.
async function quietly(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isCode(error, "not_found") && !isCode(error, "failed_precondition")) throw error;
  }
}
