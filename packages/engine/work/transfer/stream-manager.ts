/** Streams referred to by other calls: the client opens one under an id, the daemon looks it up by that id. */
import { BerthError } from "@berth/base";
import { create } from "@bufbuild/protobuf";
import { type Any, AnySchema, EmptySchema } from "@bufbuild/protobuf/wkt";
import { Queue } from "../../base/core/queue.ts";

/** Limit on messages queued for a slow client, per stream. */
const MAX_WAITING = 4096;

/** The daemon's end of a stream. */
export class NamedStream {
  readonly #incoming: AsyncIterator<Any>;
  readonly outgoing = new Queue<Any>(MAX_WAITING);
  #closed = false;

  constructor(incoming: AsyncIterator<Any>) {
    this.#incoming = incoming;
  }

  /** The client's next message; undefined at its end. */
  async receive(): Promise<Any | undefined> {
    const item = await this.#incoming.next();
    return item.done ? undefined : item.value;
  }

  /** Sends a message to the client; ignored once closed. */
  send(message: Any): void {
    if (!this.#closed) this.outgoing.push(message);
  }

  /** Ends the stream from the daemon's end. */
  close(): void {
    this.#closed = true;
    this.outgoing.end();
  }
}

/** Open streams, by namespace and id. */
export class StreamManager {
  readonly #streams = new Map<string, NamedStream>();

  /** The stream; "not_found" if the client has not opened it. */
  get(ns: string, id: string): NamedStream {
    const found = this.#streams.get(`${ns}/${id}`);
    if (found === undefined)
      throw new BerthError("not_found", `stream ${JSON.stringify(id)}: not found`, {
        hint: "open it with Streaming.Stream first",
      });
    return found;
  }

  /** Handles one Stream call: registers it, acknowledges, and passes messages until either side ends. */
  async *serve(
    ns: string,
    id: string,
    incoming: AsyncIterator<Any>,
    signal: AbortSignal,
  ): AsyncGenerator<Any> {
    const key = `${ns}/${id}`;
    if (id === "") throw new BerthError("invalid_argument", "stream id must not be empty: invalid argument");
    if (this.#streams.has(key))
      throw new BerthError("already_exists", `stream ${JSON.stringify(id)}: already exists`);
    const stream = new NamedStream(incoming);
    this.#streams.set(key, stream);
    const onAbort = () => stream.close();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      yield create(AnySchema, { typeUrl: EmptySchema.typeName });
      yield* stream.outgoing;
    } finally {
      signal.removeEventListener("abort", onAbort);
      stream.close();
      this.#streams.delete(key);
    }
  }
}
