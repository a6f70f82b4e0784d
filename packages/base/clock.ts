/** Time as a service, so that tests can hold it still. */
export interface Clock {
  /** Wall clock, in nanoseconds since the epoch. */
  wall(): bigint;
  /** Monotonic clock, in milliseconds with fractions; only differences mean anything. */
  monotonic(): number;
  /** Resolves after `ms` milliseconds; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

// performance.timeOrigin is a float in ms: splitting it keeps microseconds that a single product would lose.
const originNs = BigInt(Math.round(performance.timeOrigin * 1000)) * 1000n;

/** The machine's clock. */
export const systemClock: Clock = {
  // Wall time is read on every call: an NTP step must be visible, which performance.now() would hide.
  wall: () => {
    const coarse = BigInt(Date.now()) * 1_000_000n;
    const fine = originNs + BigInt(Math.round(performance.now() * 1e6));
    const drift = fine - coarse;
    return drift > -2_000_000n && drift < 2_000_000n ? fine : coarse;
  },
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      }, ms);
      signal?.addEventListener("abort", onAbort, { once: true });
    }),
};

/** A clock for tests that only moves when `advance` is called. */
export class FakeClock implements Clock {
  #nowMs: number;
  #sleepers: { at: number; wake: () => void }[] = [];

  constructor(startMs = 1_700_000_000_000) {
    this.#nowMs = startMs;
  }
  wall(): bigint {
    return BigInt(Math.round(this.#nowMs * 1e6));
  }
  monotonic(): number {
    return this.#nowMs;
  }
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
      this.#sleepers.push({ at: this.#nowMs + ms, wake: resolve });
    });
  }
  /** Moves time forward and wakes, in order, every sleeper whose time has come. */
  advance(ms: number): void {
    this.#nowMs += ms;
    const due = this.#sleepers.filter((s) => s.at <= this.#nowMs).sort((a, b) => a.at - b.at);
    this.#sleepers = this.#sleepers.filter((s) => s.at > this.#nowMs);
    for (const s of due) s.wake();
  }
}
