/** A grace period that may be shortened while it runs. */
export class Grace {
  readonly over: Promise<void>;
  readonly #end: () => void;
  #timer: NodeJS.Timeout | undefined;
  #until = Number.POSITIVE_INFINITY;

  /** `ms` may be infinite. */
  constructor(ms: number) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.over = promise;
    this.#end = resolve;
    this.atMost(ms);
  }

  /** Limits the remaining time to `ms` milliseconds. */
  atMost(ms: number): void {
    const until = performance.now() + ms;
    if (until >= this.#until) return;
    this.#until = until;
    this.#arm();
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const left = this.#until - performance.now();
    if (left <= 0) this.#end();
    // Timers are limited to 2^31 - 1 milliseconds.
    else this.#timer = setTimeout(() => this.#arm(), Math.min(left, 2 ** 31 - 1));
  }

  /** Cancels the timer. */
  stop(): void {
    clearTimeout(this.#timer);
  }
}
