/**
 * One HTTP/2 stream as messages, for both ends: reading with backpressure, writing with backpressure.
 */
import type { Http2Stream } from "node:http2";
import { BerthError } from "@berth/base";
import { type Encoding, FrameReader, frame } from "./frames.ts";

/** Reading stops while more than this many bytes wait for their reader. */
const HIGH_WATER = 256 << 10;

/** Messages of one direction of a stream, as an async iterable that can be read once. */
export class MessageReader implements AsyncIterableIterator<Uint8Array> {
  readonly #stream: Http2Stream;
  readonly #frames: FrameReader;
  #ended = false;
  #failed: unknown;
  #paused = false;
  #wake: (() => void) | undefined;

  constructor(stream: Http2Stream, maxMessage: number, encoding: Encoding) {
    this.#stream = stream;
    this.#frames = new FrameReader(maxMessage, encoding);
    stream.on("data", (chunk: Uint8Array) => {
      this.#frames.push(chunk);
      // Pausing lets HTTP/2's flow control stop the sender; a single message may be larger than the mark.
      if (this.#frames.size > HIGH_WATER && this.#wake === undefined && !this.#paused) {
        this.#paused = true;
        stream.pause();
      }
      this.#notify();
    });
    stream.on("end", () => {
      this.#ended = true;
      this.#notify();
    });
    stream.on("error", (error) => this.fail(error));
    stream.on("close", () => {
      if (!this.#ended)
        this.fail(new BerthError("canceled", "the stream was closed before its end", { stage: "grpc" }));
    });
  }

  /** Ends reading with an error; the first one counts. */
  fail(reason: unknown): void {
    if (this.#ended || this.#failed !== undefined) return;
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
      const message = this.#frames.next();
      if (message !== undefined) return { done: false, value: message };
      if (this.#failed !== undefined) throw this.#failed;
      if (this.#ended) {
        this.#frames.end();
        return { done: true, value: undefined };
      }
      const more = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      if (this.#paused) {
        this.#paused = false;
        this.#stream.resume();
      }
      await more;
    }
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** Hands one message to the stream without waiting; false when the next one should wait for `drain`. */
export function pushMessage(stream: Http2Stream, message: Uint8Array, encoding: Encoding): boolean {
  if (stream.destroyed || stream.writableEnded)
    throw new BerthError("canceled", "the stream was closed", { stage: "grpc" });
  const parts = frame(message, encoding);
  let room = true;
  if (parts.length > 1) stream.cork();
  for (const part of parts) room = stream.write(part);
  if (parts.length > 1) stream.uncork();
  return room;
}

/** Writes one message; resolves when the stream can take more, rejects when it closed before. */
export function writeMessage(
  stream: Http2Stream,
  message: Uint8Array,
  encoding: Encoding,
): Promise<void> | void {
  if (pushMessage(stream, message, encoding)) return;
  return new Promise((resolve, reject) => {
    const done = () => {
      stream.off("drain", done);
      stream.off("close", closed);
      resolve();
    };
    const closed = () => {
      stream.off("drain", done);
      stream.off("close", closed);
      reject(
        new BerthError("canceled", "the stream was closed while a message was waiting", { stage: "grpc" }),
      );
    };
    stream.on("drain", done);
    stream.on("close", closed);
  });
}
