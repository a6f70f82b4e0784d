/** Messages of one direction of a stream, on their way to whoever reads them. */
import type { Channel } from "./channel.ts";

/** More than this many bytes unread, and the connection is read no further until the reader has caught up. */
const HIGH_WATER = 1 << 20;

/** A queue that can be read once, as an async iterable; its size is bounded by holding the connection back. */
export class Inbox implements AsyncIterableIterator<Uint8Array> {
  readonly #channel: Channel;
  #messages: Uint8Array[] = [];
  #size = 0;
  #ended = false;
  #failed: unknown;
  #wake: (() => void) | undefined;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  get ended(): boolean {
    return this.#ended || this.#failed !== undefined;
  }

  push(message: Uint8Array): void {
    if (this.ended) return;
    this.#messages.push(message);
    // Empty messages take room too.
    this.#size += message.length + 64;
    if (this.#size > HIGH_WATER) this.#channel.hold(this);
    this.#notify();
  }

  end(): void {
    this.#ended = true;
    this.#notify();
  }

  /** Ends with an error, which comes after what was there before; the first end counts. */
  fail(reason: unknown): void {
    if (this.ended) return;
    this.#failed = reason;
    this.#notify();
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined) {
        this.#size -= message.length + 64;
        if (this.#size <= HIGH_WATER) this.#channel.resume(this);
        return { done: false, value: message };
      }
      if (this.#failed !== undefined) throw this.#failed;
      if (this.#ended) return { done: true, value: undefined };
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Nobody reads any more. */
  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#messages = [];
    this.#size = 0;
    this.#ended = true;
    this.#channel.resume(this);
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
