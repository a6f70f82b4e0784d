/** One process of a task: its state, its keeper, and everyone who waits for its end. */

import type { ProcessRecord } from "./folders.ts";
import type { KeeperLink } from "./keeper-link.ts";
import type { Exit } from "./task-shim.ts";

/** A process that the shim knows. Created -> running -> stopped; nothing goes back. */
export class TaskProcess {
  readonly record: ProcessRecord;
  link: KeeperLink | undefined;
  /** berth-init's pid while it is our child, to be reaped. */
  keeperPid = 0;
  exit: Exit | undefined;
  /** Nothing more comes on standard input. */
  stdinClosed = false;
  /** A start that is under way: the exit is told only after it. */
  starting: Promise<{ pid: number }> | undefined;
  /** A deletion that is under way. */
  deleting: Promise<Exit & { pid: number }> | undefined;
  readonly #ended = Promise.withResolvers<Exit>();

  constructor(record: ProcessRecord) {
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
