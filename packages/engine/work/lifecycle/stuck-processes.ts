/** Describes processes that do not die, and what they wait for in the kernel. */
import { readFileSync } from "node:fs";

const STATES: Readonly<Record<string, string>> = {
  D: "waits in the kernel and cannot be interrupted",
  T: "is stopped",
  t: "is stopped by a debugger",
  Z: "has ended and was not collected",
};
/** Number of kernel stack frames in the report. */
const DEPTH = 8;

/** Current state of a process. */
export interface Stuck {
  pid: number;
  /** "1234 (dd), state D: waits ... in request_wait_answer". */
  text: string;
  state: string;
  /** Innermost function first; empty if it may not be read. */
  stack: string[];
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}

/** The existing processes among `pids`, those waiting in the kernel first. */
export function stuckProcesses(pids: readonly number[]): Stuck[] {
  const found = pids.flatMap((pid): Stuck[] => {
    const stat = read(`/proc/${pid}/stat`);
    // The command name is in parentheses and may contain anything.
    const state = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[0];
    if (!state) return [];
    const name = read(`/proc/${pid}/comm`);
    const where = read(`/proc/${pid}/wchan`);
    const stack = read(`/proc/${pid}/stack`)
      .split("\n")
      .flatMap((line) => /\] ([\w.]+)/.exec(line)?.[1] ?? [])
      .slice(0, DEPTH);
    const description = STATES[state];
    const at = where === "" || where === "0" ? "" : ` in ${where}`;
    const text = `${pid} (${name}), state ${state}${description === undefined ? "" : `: ${description}`}${at}`;
    return [{ pid, text, state, stack }];
  });
  return found.sort((a, b) => Number(b.state === "D") - Number(a.state === "D"));
}
