/** Whether a container has a task, and whether it is running. */
import { isCode } from "@berth/base";
import type { ProcessRef, TaskShim, TaskState } from "@berth/shim";

/** The container's task; undefined if there is none. */
export function taskOf(tasks: Pick<TaskShim, "state">, ref: ProcessRef): TaskState | undefined {
  try {
    return tasks.state(ref);
  } catch (error) {
    if (isCode(error, "not_found")) return undefined;
    throw error;
  }
}

/** Whether a task exists whose process was started and has not exited. */
export function isUp(task: Pick<TaskState, "status"> | undefined): boolean {
  return task?.status === "running" || task?.status === "paused" || task?.status === "pausing";
}
