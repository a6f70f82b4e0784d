/** One process of a task: its state, and the callers that wait for its exit. */
import type { Exit, Stdio } from "./task-shim.ts";

/** What both kinds of shims record of a process. */
export interface ProcessFacts {
  execId: string;
  stdio: Stdio;
  /** Host pid; 0 before the process exists. */
  pid: number;
  started: boolean;
}

/** A process and its state: created -> running -> stopped, never back. */
export class TaskProcess<Record extends ProcessFacts = ProcessFacts> {
  readonly record: Record;
  exit: Exit | undefined;
  /** A start in progress; the exit is reported after it. */
  starting: Promise<{ pid: number }> | undefined;
  /** A deletion in progress. */
  deleting: Promise<Exit & { pid: number }> | undefined;
  readonly #ended = Promise.withResolvers<Exit>();

  constructor(record: Record) {
    this.record = record;
  }

  get status(): "created" | "running" | "stopped" {
    if (this.exit !== undefined) return "stopped";
    return this.record.started ? "running" : "created";
  }

  /** Sets the exit; the first call counts, later ones return false. */
  end(exit: Exit): boolean {
    if (this.exit !== undefined) return false;
    this.exit = exit;
    this.#ended.resolve(exit);
    return true;
  }

  /** Resolves with the exit; rejects with the signal's reason if that aborts first. */
  wait(signal?: AbortSignal): Promise<Exit> {
    if (signal === undefined || this.exit !== undefined) return this.#ended.promise;
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const abort = () => reject(signal.reason);
      signal.addEventListener("abort", abort, { once: true });
      void this.#ended.promise.then((exit) => {
        signal.removeEventListener("abort", abort);
        resolve(exit);
      });
    });
  }
}
