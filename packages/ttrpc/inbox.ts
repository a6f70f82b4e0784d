/** Messages of one direction of a stream; bounded by pausing the connection. */
import { MessageQueue } from "@berth/rpc";
import type { Channel } from "./channel.ts";

/** Above this many unread bytes, the connection is paused until the reader has caught up. */
const HIGH_WATER = 1 << 20;
/** The size an empty message counts as: it takes memory too. */
const EMPTY = 64;

/** Received messages of one stream; pauses the connection while too many are unread. */
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

  /** The reader has stopped. */
  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#messages = [];
    this.#size = 0;
    this.end();
    this.#channel.resume(this);
    return { done: true, value: undefined };
  }
}
