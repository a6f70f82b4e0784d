/** A time that a process has to end by itself, which may be cut short while it runs. */
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

  /** From now on at most `ms` milliseconds are left. */
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
    // Timers take no more than 2^31 - 1 milliseconds.
    else this.#timer = setTimeout(() => this.#arm(), Math.min(left, 2 ** 31 - 1));
  }

  /** Nobody waits any more. */
  stop(): void {
    clearTimeout(this.#timer);
  }
}
