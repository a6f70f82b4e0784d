/** Limits how many starts run at a time; others are queued in order. */
import { BerthError, stage } from "@berth/base";

interface Waiting {
  go: () => void;
  signal: AbortSignal | undefined;
}

/** See the module comment. */
export class Limiter {
  readonly #workers: number;
  readonly #queue: Waiting[] = [];
  #busy = 0;

  /** `workers`: the limit; 0 for none. */
  constructor(workers: number) {
    this.#workers = workers;
  }

  /** Running and queued. */
  get load(): { busy: number; waiting: number } {
    return { busy: this.#busy, waiting: this.#queue.length };
  }

  /** Runs `work` when there is room; rejects with the signal's reason if that aborts before. */
  async run<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    if (signal?.aborted) throw canceled(signal);
    if (this.#workers > 0 && this.#busy >= this.#workers)
      await stage("wait for a worker", { workers: this.#workers }, () => this.#turn(signal));
    else this.#busy++;
    try {
      return await work();
    } finally {
      this.#pass();
    }
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        signal,
        go: () => {
          signal?.removeEventListener("abort", leave);
          resolve();
        },
      };
      const leave = () => {
        this.#queue.splice(this.#queue.indexOf(waiting), 1);
        reject(canceled(signal!));
      };
      signal?.addEventListener("abort", leave, { once: true });
      this.#queue.push(waiting);
    });
  }

  /** Hands the slot to the first in the queue. */
  #pass(): void {
    const next = this.#queue.shift();
    if (next === undefined) this.#busy--;
    else next.go();
  }
}

/** The error for an aborted signal. */
export function canceled(signal: AbortSignal): BerthError {
  const { reason } = signal;
  return reason instanceof BerthError
    ? reason
    : new BerthError("canceled", "the request was canceled", { stage: "start", cause: reason });
}
