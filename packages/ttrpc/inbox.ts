/** Messages of one direction of a stream; its size is bounded by reading no further from the connection. */
import { MessageQueue } from "@berth/rpc";
import type { Channel } from "./channel.ts";

/** More than this many bytes unread, and the connection is read no further until the reader has caught up. */
const HIGH_WATER = 1 << 20;
/** What an empty message counts: it takes room too. */
const EMPTY = 64;

/** See the module comment. */
export class Inbox extends MessageQueue {
  readonly #channel: Channel;
  #messages: Uint8Array[];
  #size = 0;

  constructor(channel: Channel) {
    super({ take: () => this.#take() });
    this.#channel = channel;
    this.#messages = [];
  }

  push(message: Uint8Array): void {
    if (this.ended) return;
    this.#messages.push(message);
    this.#size += message.length + EMPTY;
    if (this.#size > HIGH_WATER) this.#channel.hold(this);
    this.notify();
  }

  #take(): Uint8Array | undefined {
    const message = this.#messages.shift();
    if (message === undefined) return undefined;
    this.#size -= message.length + EMPTY;
    if (this.#size <= HIGH_WATER) this.#channel.resume(this);
    return message;
  }

  /** Nobody reads any more. */
  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#messages = [];
    this.#size = 0;
    this.end();
    this.#channel.resume(this);
    return { done: true, value: undefined };
  }
}
