/**
 * The escalation that stops a container: its stop signal and a grace period, SIGKILL to its process, SIGKILL to all
 * of its processes (thawed, as a frozen one does not die in cgroup version 1), and then an error that names the stuck
 * ones.
 */
import { BerthError, isCode, log, SIGKILL, stage } from "@berth/base";
import type { Exit, ProcessRef } from "@berth/shim";
import type { TaskManager } from "../tasks/task-manager.ts";
import { taskOf } from "../tasks/task-state.ts";
import type { Grace } from "./grace.ts";
import { stuckProcesses } from "./stuck-processes.ts";

/** After SIGKILL, a process that is not stuck in the kernel is gone at once. */
const KILLED_MS = 3000;
/** The same for all processes, which take longer together. */
const ALL_KILLED_MS = 7000;

/** The task operations it needs. */
export type Stoppable = Pick<TaskManager, "state" | "wait" | "signal" | "resume" | "pids">;

/** Stops the container's task, if one is running; returns its exit. */
export async function stopTask(
  tasks: Stoppable,
  ref: ProcessRef,
  signal: number,
  grace: Grace,
): Promise<Exit | undefined> {
  const task = taskOf(tasks, ref);
  if (task === undefined) return undefined;
  if (task.status === "stopped") return task;
  const abandon = new AbortController();
  const ended = tasks.wait(ref, abandon.signal);
  // Awaited below; an earlier failure must not end the daemon.
  ended.catch(() => {});
  const within = async (what: string, over: Promise<void>) =>
    stage(what, { signal }, () => Promise.race([ended, over.then(() => undefined)]));
  try {
    if (task.status !== "created") {
      await quietly("signal", tasks.signal(ref, signal, false));
      // A frozen process does not handle signals.
      if (task.status === "paused") await quietly("thaw", tasks.resume(ref));
      const exit = await within("grace period", grace.over);
      if (exit !== undefined) return exit;
      await quietly("SIGKILL", tasks.signal(ref, SIGKILL, false));
      // One that was frozen meanwhile does not die before it is thawed.
      if (taskOf(tasks, ref)?.status === "paused") await quietly("thaw", tasks.resume(ref));
      const killed = await within("wait after SIGKILL", after(KILLED_MS));
      if (killed !== undefined) return killed;
    }
    await quietly("SIGKILL for all processes", tasks.signal(ref, SIGKILL, true));
    const killed = await within("wait after SIGKILL for all processes", after(ALL_KILLED_MS));
    if (killed !== undefined) return killed;
  } finally {
    abandon.abort(new BerthError("canceled", "nobody waits any more"));
  }
  throw await stuckError(tasks, ref, task.pid);
}

async function stuckError(tasks: Stoppable, ref: ProcessRef, pid: number): Promise<BerthError> {
  const pids = await tasks.pids(ref).catch(() => []);
  const [worst] = stuckProcesses([...new Set([pid, ...pids.map((each) => each.pid)])]);
  const seconds = (KILLED_MS + ALL_KILLED_MS) / 1000;
  const why = worst === undefined ? "nothing of it is left to be seen" : `process ${worst.text}`;
  const stack = worst?.stack.join(" < ") ?? "";
  return new BerthError(
    "deadline_exceeded",
    `container ${ref.id} did not end within ${seconds} s after SIGKILL: ${why}`,
    {
      stage: "stop",
      ...(worst === undefined ? {} : { path: `/proc/${worst.pid}/stack` }),
      hint:
        stack === ""
          ? "it ends once the kernel lets it go: look at the storage it uses, and at freezers above its cgroup"
          : `it ends once the kernel lets it go; its kernel stack is ${stack}`,
    },
  );
}

function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}

// The process may exit between the check and the signal; failures are left to the next step.
async function quietly(what: string, work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isCode(error, "not_found") && !isCode(error, "failed_precondition"))
      log.warn(`stop: ${what} failed`, { error: String(error) });
  }
}
