/** Ends and removes containers: what rm, start and run share. */
import { BerthError, isCode } from "@berth/base";
import type { BerthClient, Container, ExitStatus, TaskProcess } from "@berth/client";
import { nameOf } from "./find.ts";
import { removeLog } from "./log-path.ts";
import { isUp, seenOf } from "./state.ts";

/** Removes a container: its task (with `force` a running one, too), snapshot, record and log. */
export async function removeContainer(
  client: BerthClient,
  container: Container,
  force: boolean,
): Promise<void> {
  // Another command may be removing it, too, and be faster: what is gone is as it was to be.
  await ignoreMissing(endContainer(container, force));
  await removeEnded(client, container);
}

async function endContainer(container: Container, force: boolean): Promise<void> {
  // The daemon knows best how to end it, and lets go of one that it was about to start again.
  if (force) {
    await container.stop({ seconds: 0 });
    return;
  }
  const { state } = seenOf(container, await container.taskState());
  if (isUp(state))
    throw new BerthError("failed_precondition", `container ${nameOf(container)} is ${state}`, {
      hint: `Stop it first (berth stop ${nameOf(container)}), or remove it with --force.`,
    });
  if (state === "created") await container.stop({ seconds: 0 });
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
