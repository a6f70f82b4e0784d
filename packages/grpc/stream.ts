/**
 * One HTTP/2 stream as messages, for both ends: reading with backpressure, writing with backpressure.
 */
import type { Http2Stream } from "node:http2";
import { BerthError } from "@berth/base";
import { MessageQueue } from "@berth/rpc";
import { type Encoding, FrameReader, frame } from "./frames.ts";

/** Reading pauses while more than this many bytes are unread. */
const HIGH_WATER = 256 << 10;

/** The messages that arrive on a stream; can be read once. */
export function readMessages(stream: Http2Stream, maxMessage: number, encoding: Encoding): MessageQueue {
  const frames = new FrameReader(maxMessage, encoding);
  let paused = false;
  const messages = new MessageQueue({
    take: () => frames.next(),
    waiting: () => {
      if (!paused) return;
      paused = false;
      stream.resume();
    },
    done: () => frames.end(),
  });
  stream.on("data", (chunk: Uint8Array) => {
    frames.push(chunk);
    // Pausing lets HTTP/2's flow control stop the sender; a single message may be larger than the mark.
    if (frames.size > HIGH_WATER && !messages.awaited && !paused) {
      paused = true;
      stream.pause();
    }
    messages.notify();
  });
  stream.on("end", () => messages.end());
  stream.on("error", (error) => messages.fail(error));
  stream.on("close", () =>
    messages.fail(new BerthError("canceled", "the stream was closed before its end", { stage: "grpc" })),
  );
  return messages;
}

/** Writes one message without waiting; returns false when the next one should wait for `drain`. */
function pushMessage(stream: Http2Stream, message: Uint8Array, encoding: Encoding): boolean {
  if (stream.destroyed || stream.writableEnded)
    throw new BerthError("canceled", "the stream was closed", { stage: "grpc" });
  const parts = frame(message, encoding);
  let room = true;
  if (parts.length > 1) stream.cork();
  for (const part of parts) room = stream.write(part);
  if (parts.length > 1) stream.uncork();
  return room;
}

/** Writes one message; resolves when the stream can take more, rejects if it has closed. */
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
