/** Messages of one direction of a stream, on their way to the reader. */

/**
 * Source of messages: received bytes, or a list. `take` returns the next whole one, if there is one; `waiting` is
 * called when a reader waits for more; `done` after the last one, and may throw when something is missing.
 */
export interface MessageSource {
  take(): Uint8Array | undefined;
  waiting?(): void;
  done?(): void;
}

/**
 * An async iterable that can be read once; messages that have arrived come before the error that ended the stream.
 */
export class MessageQueue implements AsyncIterableIterator<Uint8Array> {
  readonly #source: MessageSource;
  #ended = false;
  #failed: unknown;
  #wake: (() => void) | undefined;

  constructor(source: MessageSource) {
    this.#source = source;
  }

  /** The queue takes no more messages. */
  get ended(): boolean {
    return this.#ended || this.#failed !== undefined;
  }

  /** A reader is waiting. */
  get awaited(): boolean {
    return this.#wake !== undefined;
  }

  /** Wakes the reader: something has arrived. */
  notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  end(): void {
    this.#ended = true;
    this.notify();
  }

  /** Ends with an error; the first end wins. */
  fail(reason: unknown): void {
    if (this.ended) return;
    this.#failed = reason;
    this.notify();
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    for (;;) {
      const message = this.#source.take();
      if (message !== undefined) return { done: false, value: message };
      if (this.#failed !== undefined) throw this.#failed;
      if (this.#ended) {
        this.#source.done?.();
        return { done: true, value: undefined };
      }
      const more = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#source.waiting?.();
      await more;
    }
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
