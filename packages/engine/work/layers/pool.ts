/** Layer workers: one per processor (at most four), started on demand, ended when idle. */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { BerthError, type ErrorCode } from "@berth/base";
import type { ApplyTarget } from "./apply.ts";
import type { Applied, FromWorker, ToWorker } from "./protocol.ts";

/** An idle worker is ended after this many milliseconds: it takes some 10 MB. */
const IDLE_MS = 20_000;

/** A layer that is being applied while it arrives. */
export interface Applying {
  /** The file may be read up to here; `final` if that is its end. */
  progress(available: number, final: boolean): void;
  /** Cancels the job; {@link done} rejects. */
  cancel(reason: string): void;
  readonly done: Promise<Applied>;
}

interface Slot {
  worker: Worker;
  busy: boolean;
  idle: NodeJS.Timeout | undefined;
  fail: ((error: Error) => void) | undefined;
}

/** Applies layers in worker threads. */
export class LayerPool {
  readonly #limit: number;
  readonly #slots: Slot[] = [];
  readonly #waiting: ((slot: Slot) => void)[] = [];
  #lastId = 0;

  constructor(limit = Math.min(4, availableParallelism())) {
    this.#limit = limit;
  }

  /** Begins to apply `file` to `target`; `name` is the layer's name in errors. */
  apply(file: string, name: string, target: ApplyTarget): Applying {
    const id = ++this.#lastId;
    let last: ToWorker | undefined;
    let cancelled: string | undefined;
    let worker: Worker | undefined;
    const run = async (): Promise<Applied> => {
      const slot = await this.#acquire();
      try {
        if (cancelled !== undefined) throw new BerthError("canceled", cancelled, { stage: "unpack" });
        worker = slot.worker;
        return await new Promise<Applied>((resolve, reject) => {
          slot.fail = reject;
          const onMessage = (message: FromWorker) => {
            if (message.id !== id) return;
            slot.worker.off("message", onMessage);
            if (message.kind === "done") resolve(message.result);
            else
              reject(
                new BerthError(message.error.code as ErrorCode, message.error.message, message.error.facts),
              );
          };
          slot.worker.on("message", onMessage);
          slot.worker.postMessage({ kind: "apply", id, file, name, target } satisfies ToWorker);
          if (last !== undefined) slot.worker.postMessage(last);
        });
      } finally {
        worker = undefined;
        slot.fail = undefined;
        this.#release(slot);
      }
    };
    const done = run();
    // The caller awaits it later; until then a failure must not count as unhandled.
    done.catch(() => {});
    return {
      progress: (available, final) => {
        last = { kind: "progress", id, available, final };
        worker?.postMessage(last);
      },
      cancel: (reason) => {
        cancelled = reason;
        worker?.postMessage({ kind: "cancel", id, reason } satisfies ToWorker);
      },
      done,
    };
  }

  #acquire(): Promise<Slot> {
    const free = this.#slots.find((slot) => !slot.busy);
    if (free !== undefined) {
      clearTimeout(free.idle);
      free.busy = true;
      return Promise.resolve(free);
    }
    if (this.#slots.length < this.#limit) return Promise.resolve(this.#spawn());
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #spawn(): Slot {
    const worker = new Worker(new URL("./worker.ts", import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 16 },
    });
    const slot: Slot = { worker, busy: true, idle: undefined, fail: undefined };
    worker.unref();
    const gone = (error: Error) => {
      const at = this.#slots.indexOf(slot);
      if (at >= 0) this.#slots.splice(at, 1);
      slot.fail?.(
        new BerthError("internal", `a layer worker ended: ${error.message}`, {
          stage: "unpack",
          cause: error,
        }),
      );
    };
    worker.on("error", gone);
    worker.on("exit", (code) => gone(new Error(`exit code ${code}`)));
    this.#slots.push(slot);
    return slot;
  }

  #release(slot: Slot): void {
    if (!this.#slots.includes(slot)) {
      // It died: the next waiting job gets a new one.
      const next = this.#waiting.shift();
      if (next !== undefined) next(this.#spawn());
      return;
    }
    const next = this.#waiting.shift();
    if (next !== undefined) {
      next(slot);
      return;
    }
    slot.busy = false;
    slot.idle = setTimeout(() => {
      const at = this.#slots.indexOf(slot);
      if (at >= 0 && !slot.busy) this.#slots.splice(at, 1);
      void slot.worker.terminate();
    }, IDLE_MS);
    slot.idle.unref();
  }

  /** Ends all workers. */
  async close(): Promise<void> {
    await Promise.all(
      this.#slots.splice(0).map((slot) => {
        clearTimeout(slot.idle);
        return slot.worker.terminate();
      }),
    );
  }
}
