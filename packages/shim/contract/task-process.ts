/** One process of a task: its state, and everyone who waits for its end. */
import type { Exit, Stdio } from "./task-shim.ts";

/** What is kept of a process, whichever shim serves it. */
export interface ProcessFacts {
  execId: string;
  stdio: Stdio;
  /** Host pid; 0 until the process has been made. */
  pid: number;
  started: boolean;
}

/** A process that the shim knows. Created -> running -> stopped; nothing goes back. */
export class TaskProcess<Record extends ProcessFacts = ProcessFacts> {
  readonly record: Record;
  exit: Exit | undefined;
  /** A start that is under way: the exit is told only after it. */
  starting: Promise<{ pid: number }> | undefined;
  /** A deletion that is under way. */
  deleting: Promise<Exit & { pid: number }> | undefined;
  readonly #ended = Promise.withResolvers<Exit>();

  constructor(record: Record) {
    this.record = record;
  }

  get status(): "created" | "running" | "stopped" {
    if (this.exit !== undefined) return "stopped";
    return this.record.started ? "running" : "created";
  }

  /** Marks the end; the first call counts. False when it was marked before. */
  end(exit: Exit): boolean {
    if (this.exit !== undefined) return false;
    this.exit = exit;
    this.#ended.resolve(exit);
    return true;
  }

  /** Resolves with the exit; rejects with the signal's reason when that aborts first. */
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
