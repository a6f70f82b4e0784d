/** The ends of containers: what rm, start, run and wait share. */
import { BerthError, isCode } from "@berth/base";
import type { Container, ExitStatus, TaskProcess } from "@berth/client";
import { nameOf } from "./find.ts";
import { isUp, seenOf } from "./state.ts";

/** Removes a container: its task (with `force` a running one, too), snapshot, record and log. */
export async function removeContainer(container: Container, force: boolean): Promise<void> {
  try {
    // Another command may be removing it, too, and be faster: what is gone is as it was to be.
    await ignoreMissing(container.remove({ force }));
  } catch (error) {
    if (!isCode(error, "failed_precondition")) throw error;
    const { state } = seenOf(container, await container.taskState());
    if (!isUp(state)) throw error;
    throw new BerthError("failed_precondition", `container ${nameOf(container)} is ${state}`, {
      cause: error,
      hint: `Stop it first (berth stop ${nameOf(container)}), or remove it with --force.`,
    });
  }
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
