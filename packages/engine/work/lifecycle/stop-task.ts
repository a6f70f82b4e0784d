/**
 * The ladder that ends a container: its signal and a grace period, SIGKILL for its process, SIGKILL for all of its
 * processes (thawed, as a frozen one of cgroup version 1 does not die), and then an error that names who is stuck.
 */
import { BerthError, isCode, log, SIGKILL, stage } from "@berth/base";
import type { Exit, ProcessRef } from "@berth/shim";
import type { TaskManager } from "../tasks/task-manager.ts";
import { taskOf } from "../tasks/task-state.ts";
import type { Grace } from "./grace.ts";
import { stuckProcesses } from "./stuck-processes.ts";

/** After SIGKILL a process that is not stuck in the kernel is gone at once. */
const KILLED_MS = 3000;
/** The same for all processes, which take longer together. */
const ALL_KILLED_MS = 7000;

/** What ending takes: the calls of the task service, without a client. */
export type Stoppable = Pick<TaskManager, "state" | "wait" | "signal" | "resume" | "pids">;

/** Ends the container's task, if there is one that runs; gives its exit. See the module comment. */
export async function stopTask(
  tasks: Stoppable,
  ref: ProcessRef,
  signal: number,
  grace: Grace,
): Promise<Exit | undefined> {
  const task = taskOf(tasks, ref);
  if (task === undefined) return undefined;
  if (task.status === "stopped") return task;
  const giveUp = new AbortController();
  const ended = tasks.wait(ref, giveUp.signal);
  // Looked at below; a failure before that must not end the program.
  ended.catch(() => {});
  const within = async (what: string, over: Promise<void>) =>
    stage(what, { signal }, () => Promise.race([ended, over.then(() => undefined)]));
  try {
    if (task.status !== "created") {
      await quietly("signal", tasks.signal(ref, signal, false));
      // A frozen process sees no signal.
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
    giveUp.abort(new BerthError("canceled", "nobody waits any more"));
  }
  throw await didNotEnd(tasks, ref, task.pid);
}

async function didNotEnd(tasks: Stoppable, ref: ProcessRef, pid: number): Promise<BerthError> {
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

// A process may end between looking and signalling; and what one rung cannot do is left to the next.
async function quietly(what: string, work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isCode(error, "not_found") && !isCode(error, "failed_precondition"))
      log.warn(`stop: ${what} failed`, { error: String(error) });
  }
}
