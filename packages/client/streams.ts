/**
 * Streams of the Streaming service, which the Transfer service uses for progress and archive data. Data follows
 * containerd's window protocol: the receiver grants the number of bytes it will take.
 */
import { randomBytes } from "node:crypto";
import { pack, unpack } from "@berth/api/any";
import * as api from "@berth/api/streaming";
import * as transfer from "@berth/api/transferTypes";
import { BerthError } from "@berth/base";
import type { Connection } from "@berth/grpc/client";
import type { Any } from "@bufbuild/protobuf/wkt";

/** A stream's id; `prefix` shows up in the daemon's log. */
export function streamId(prefix: string): string {
  return `${prefix}-${Date.now()}-${randomBytes(6).toString("hex")}`;
}

/** One open stream. */
export interface OpenStream {
  send(message: Any): void;
  /** Messages from the daemon. */
  received: AsyncIterator<Any>;
  /** Ends the sending side. */
  end(): void;
  /** Cancels the stream. */
  cancel(): void;
}

/** Opens a stream under a name and waits until the daemon has registered it. */
export async function openStream(connection: Connection, id: string): Promise<OpenStream> {
  const outgoing = new Outgoing();
  const abort = new AbortController();
  outgoing.push(pack(api.StreamInitSchema, { id }));
  const service = connection.client(api.Streaming);
  const received = service.stream(outgoing, { signal: abort.signal })[Symbol.asyncIterator]();
  const first = await received.next();
  if (first.done) throw new BerthError("unavailable", `the daemon closed the stream ${id} at once`);
  return {
    send: (message) => outgoing.push(message),
    received,
    end: () => outgoing.end(),
    cancel: () => abort.abort(),
  };
}

// Outgoing messages as an iterable, the form in which a call takes them.
class Outgoing implements AsyncIterable<Any> {
  readonly #queue: Any[] = [];
  #ended = false;
  #wake: (() => void) | undefined;

  push(message: Any): void {
    this.#queue.push(message);
    this.#wake?.();
  }
  end(): void {
    this.#ended = true;
    this.#wake?.();
  }
  async *[Symbol.asyncIterator](): AsyncGenerator<Any> {
    for (;;) {
      const message = this.#queue.shift();
      if (message !== undefined) yield message;
      else if (this.#ended) return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}

const CHUNK = 32 * 1024;
const WINDOW = 16 * CHUNK;

/** Sends all of `source` within the daemon's window, then ends the stream. */
export async function sendData(stream: OpenStream, source: AsyncIterable<Uint8Array>): Promise<void> {
  let window = 0;
  const more = async () => {
    const message = await stream.received.next();
    if (message.done) throw new BerthError("unavailable", "the daemon stopped reading the archive");
    window += unpack(transfer.WindowUpdateSchema, message.value)?.update ?? 0;
  };
  try {
    for await (const chunk of source)
      for (let at = 0; at < chunk.length; ) {
        while (window <= 0) await more();
        const part = chunk.subarray(at, at + Math.min(CHUNK, window));
        stream.send(pack(transfer.DataSchema, { data: part }));
        window -= part.length;
        at += part.length;
      }
  } finally {
    stream.end();
  }
}

/** Yields the daemon's data until it ends the stream. */
export async function* receiveData(stream: OpenStream): AsyncGenerator<Uint8Array> {
  let window = 0;
  try {
    for (;;) {
      if (window < WINDOW / 2) {
        stream.send(pack(transfer.WindowUpdateSchema, { update: WINDOW }));
        window += WINDOW;
      }
      const message = await stream.received.next();
      if (message.done) return;
      const data = unpack(transfer.DataSchema, message.value)?.data;
      if (data === undefined) continue;
      window -= data.length;
      yield data;
    }
  } finally {
    stream.end();
  }
}
