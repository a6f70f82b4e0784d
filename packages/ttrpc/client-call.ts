/** One call on the client's side: sends in the background, yields responses, ends with the status. */
import { RequestSchema, ResponseSchema } from "@berth/api/ttrpc";
import { BerthError } from "@berth/base";
import { type CallOptions, DETAILS_HEADER, MAX_TIMER_MS, onAbandoned } from "@berth/rpc";
import { create, type DescMethod, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Channel } from "./channel.ts";
import { FLAG, type Frame, TYPE, tooLarge } from "./frames.ts";
import { Inbox } from "./inbox.ts";
import { errorOf } from "./status.ts";

/** A deadline on the wire; 0 means none. */
function nanosecondsOf(ms: number | undefined): bigint {
  return ms === undefined ? 0n : BigInt(Math.max(1, Math.round(Math.min(ms, MAX_TIMER_MS) * 1e6)));
}

/** A call in flight. */
export class ClientCall {
  readonly #channel: Channel;
  readonly #method: DescMethod;
  readonly #options: CallOptions;
  readonly #inbox: Inbox;

  constructor(channel: Channel, method: DescMethod, options: CallOptions) {
    this.#channel = channel;
    this.#method = method;
    this.#options = options;
    this.#inbox = new Inbox(channel);
  }

  hear({ type, flags, payload, oversized }: Frame): void {
    const { methodKind, name } = this.#method;
    const repliesOnce = methodKind === "unary" || methodKind === "client_streaming";
    if (oversized !== undefined) this.fail(tooLarge(oversized));
    else if (type === TYPE.response) {
      try {
        const response = fromBinary(ResponseSchema, payload);
        const error = errorOf(response.status);
        if (error !== undefined) this.fail(error);
        // A streaming method may end with a response that carries no message.
        else if (repliesOnce || response.payload.length > 0) this.#inbox.push(response.payload);
        this.#inbox.end();
      } catch (cause) {
        this.fail(
          new BerthError("internal", `${name}: the answer is not a ttrpc.Response`, {
            stage: "ttrpc",
            cause,
          }),
        );
      }
    } else if (type === TYPE.data && !repliesOnce) {
      if ((flags & FLAG.empty) === 0) this.#inbox.push(payload);
      if (flags & FLAG.closed) this.#inbox.end();
    } else if (type === TYPE.data)
      this.fail(new BerthError("internal", `${name} answered with data`, { stage: "ttrpc" }));
  }

  /** Ends the call; the first end wins. */
  fail(error: BerthError): void {
    this.#inbox.fail(error);
  }

  /**
   * Yields the encoded responses. `begin` assigns the stream's number, which must be above all that were sent before;
   * `done` is called when the stream is finished.
   */
  async *run(
    requests: [Uint8Array<ArrayBuffer>] | AsyncIterable<Uint8Array>,
    headers: Readonly<Record<string, string>>,
    begin: () => number,
    done: (id: number) => void,
  ): AsyncGenerator<Uint8Array> {
    const { name, methodKind, parent } = this.#method;
    const id = begin();
    const stopListening = onAbandoned(name, this.#options, (reason) => this.fail(reason));
    let over = false;
    try {
      const message = create(RequestSchema, {
        service: parent.typeName,
        method: name,
        ...(Array.isArray(requests) ? { payload: requests[0] } : {}),
        timeoutNano: nanosecondsOf(this.#options.timeoutMs),
        metadata: Object.entries({ [DETAILS_HEADER]: "1", ...headers }).map(([key, value]) => ({
          key,
          value,
        })),
      });
      const flags = !Array.isArray(requests) ? FLAG.open : methodKind === "unary" ? 0 : FLAG.closed;
      this.#channel.send(id, TYPE.request, flags, toBinary(RequestSchema, message));
      if (!Array.isArray(requests))
        this.#sendAll(id, requests, () => over).catch((error) => this.fail(BerthError.from(error)));
      yield* this.#inbox;
    } finally {
      over = true;
      stopListening();
      await this.#inbox.return();
      done(id);
    }
  }

  async #sendAll(id: number, requests: AsyncIterable<Uint8Array>, over: () => boolean): Promise<void> {
    for await (const message of requests) {
      // The server may answer before it has read everything; the rest of the requests is no longer wanted.
      if (over() || this.#inbox.ended) return;
      this.#channel.send(id, TYPE.data, 0, message);
      await this.#channel.room();
    }
    if (!over()) this.#channel.send(id, TYPE.data, FLAG.closed | FLAG.empty);
  }
}
