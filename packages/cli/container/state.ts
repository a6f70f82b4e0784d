/** A container's state, from its record and its task. */
import { readFileSync } from "node:fs";
import { type Container, LABEL, type ProcessState } from "@berth/client";
import { formatSpan } from "../units.ts";

/** docker's names of states. */
export type ContainerState = "created" | "running" | "paused" | "restarting" | "exited";

/** A container with the state of its task, if it has one. */
export interface Seen {
  container: Container;
  task: ProcessState | undefined;
  state: ContainerState;
}

/** Combines record and task; if the task is gone, the daemon's labels describe its end. */
export function seenOf(container: Container, task: ProcessState | undefined): Seen {
  const known = task ?? endedTask(container);
  const state = stateOf(known);
  const waits = container.labels[LABEL.restartAt] !== undefined && state !== "running" && state !== "paused";
  return { container, task: known, state: waits ? "restarting" : state };
}

/** Whether docker counts the state as running: it does, or is about to restart. */
export function isUp(state: ContainerState): boolean {
  return state === "running" || state === "paused" || state === "restarting";
}

function endedTask(container: Container): ProcessState | undefined {
  const code = container.labels[LABEL.exitCode];
  if (code === undefined) return undefined;
  const at = new Date(container.labels[LABEL.finishedAt] ?? "");
  return {
    containerId: container.id,
    pid: 0,
    status: "stopped",
    exitStatus: Number(code),
    exitedAt: Number.isNaN(at.getTime()) ? undefined : at,
    io: { stdin: "", stdout: "", stderr: "", terminal: false },
  };
}

/** The state of a container whose task is `task`. */
export function stateOf(task: ProcessState | undefined): ContainerState {
  switch (task?.status) {
    case "running":
      return "running";
    case "paused":
    case "pausing":
      return "paused";
    case "stopped":
      return "exited";
    default:
      return "created";
  }
}

/** docker's status column: "Up 5 minutes (Paused)", "Exited (0) 3 seconds ago", "Created". */
export function statusText(seen: Seen, now = Date.now()): string {
  const { task, state } = seen;
  if (state === "created" || !task) return "Created";
  if (state === "exited") {
    const when = task.exitedAt ? ` ${formatSpan(now - task.exitedAt.getTime())} ago` : "";
    return `Exited (${task.exitStatus})${when}`;
  }
  if (state === "restarting") {
    const when = task.exitedAt ? ` ${formatSpan(now - task.exitedAt.getTime())} ago` : "";
    return `Restarting (${task.exitStatus})${when}`;
  }
  const started = startedAt(task.pid);
  const up = started ? `Up ${formatSpan(now - started.getTime())}` : "Up";
  return state === "paused" ? `${up} (Paused)` : up;
}

/** Start time of a process on this machine; undefined if unknown. */
export function startedAt(pid: number): Date | undefined {
  if (pid <= 0) return undefined;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The command name is in parentheses and may contain anything; field 22 is the start in ticks since boot.
    const ticks = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
    const boot = Number(/^btime (\d+)$/m.exec(readFileSync("/proc/stat", "utf8"))?.[1]);
    // USER_HZ is 100 on every architecture that matters.
    const date = new Date((boot + ticks / 100) * 1000);
    return Number.isNaN(date.getTime()) ? undefined : date;
  } catch {
    return undefined;
  }
}
