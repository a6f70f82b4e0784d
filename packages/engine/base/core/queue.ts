/** A bounded queue between a producer that must not wait and an async consumer. */
import { BerthError } from "@berth/base";

/** Pushes on one side, iterates on the other; ends with {@link end} or {@link fail}. */
export class Queue<T> implements AsyncIterable<T> {
  readonly #items: T[] = [];
  readonly #limit: number;
  #ended = false;
  #failure: unknown;
  #wake: (() => void) | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Number of queued items. */
  get size(): number {
    return this.#items.length;
  }

  /** Adds an item; a consumer that is too slow gets "resource_exhausted" instead. */
  push(item: T): void {
    if (this.#ended || this.#failure !== undefined) return;
    if (this.#items.length >= this.#limit) {
      this.fail(
        new BerthError("resource_exhausted", `the reader is too slow: ${this.#limit} items were waiting`),
      );
      return;
    }
    this.#items.push(item);
    this.#notify();
  }

  /** Ends the queue; queued items are still delivered. */
  end(): void {
    this.#ended = true;
    this.#notify();
  }

  /** Ends at once with an error. */
  fail(error: unknown): void {
    this.#failure ??= error;
    this.#notify();
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#items.length > 0) {
        yield this.#items.shift()!;
        continue;
      }
      if (this.#ended) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
