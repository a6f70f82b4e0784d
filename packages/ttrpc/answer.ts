/** One call on the server's side: its messages, and exactly one end. */
import { type Request, ResponseSchema } from "@berth/api/ttrpc";
import { BerthError } from "@berth/base";
import {
  Call,
  type CallContext,
  DETAILS_HEADER,
  encodeAnswer,
  MAX_TIMER_MS,
  metadataOf,
  type Route,
  refusalOf,
} from "@berth/rpc";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Channel } from "./channel.ts";
import { FLAG, TYPE } from "./frames.ts";
import { Inbox } from "./inbox.ts";
import { statusOf } from "./status.ts";

/** Runs one call and sends its responses. */
export class Answer {
  readonly #channel: Channel;
  readonly #stream: number;
  readonly #route: Route;
  readonly #inbox: Inbox;
  readonly #call: Call;
  #closed = false;

  /** `open`: the request is followed by data frames. */
  constructor(channel: Channel, stream: number, route: Route, request: Request, open: boolean) {
    this.#channel = channel;
    this.#stream = stream;
    this.#route = route;
    this.#inbox = new Inbox(channel);
    const nanoseconds = request.timeoutNano;
    // A deadline in the past counts, too: Go's client sends what is left of it.
    const ms = nanoseconds === 0n ? undefined : Math.max(0, Number(nanoseconds) / 1e6);
    this.#call = new Call(
      route.method,
      metadataOf(request.metadata.flatMap(({ key, value }) => [key, value])),
      ms === undefined ? undefined : Math.min(ms, MAX_TIMER_MS),
      (expired) => this.fail(expired),
    );
    const { methodKind } = route.method;
    const takesMany = methodKind === "client_streaming" || methodKind === "bidi_streaming";
    // The request of a client-streaming method may carry the first message; an empty payload carries none.
    if (!takesMany || request.payload.length > 0) this.#inbox.push(request.payload);
    if (!takesMany || !open) this.#inbox.end();
  }

  /** Answers a stream that never became a call. */
  static refuse(channel: Channel, stream: number, thrown: unknown, details = false): void {
    const response = create(ResponseSchema, { status: statusOf(thrown, details) });
    channel.send(stream, TYPE.response, 0, toBinary(ResponseSchema, response));
  }

  receive(message: Uint8Array): void {
    if (this.#inbox.ended)
      throw new BerthError(
        "invalid_argument",
        `data on stream ${this.#stream}, after its end or where none belong`,
        { stage: "ttrpc" },
      );
    this.#inbox.push(message);
  }

  receiveEnd(): void {
    this.#inbox.end();
  }

  /** Answers with an error, and aborts the call. */
  fail(error: BerthError): void {
    if (!this.#closed) {
      this.#closed = true;
      Answer.refuse(this.#channel, this.#stream, error, this.#call.headers[DETAILS_HEADER] !== undefined);
    }
    this.abandon(error);
  }

  /** Aborts the call without answering. */
  abandon(reason: BerthError): void {
    this.#closed = true;
    this.#call.abort(reason);
    this.#inbox.fail(reason);
  }

  /** Runs the method; never rejects. */
  async run(around: <T>(call: CallContext, run: () => Promise<T>) => Promise<T>): Promise<void> {
    try {
      if (this.#route.run === undefined) throw refusalOf(this.#route);
      await this.#dispatch(this.#route.run, around);
    } catch (error) {
      this.fail(this.#call.aborted ?? BerthError.from(error));
    } finally {
      this.#call.end();
      void this.#inbox.return();
    }
  }

  async #dispatch(
    run: NonNullable<Route["run"]>,
    around: <T>(call: CallContext, run: () => Promise<T>) => Promise<T>,
  ): Promise<void> {
    const { methodKind } = this.#route.method;
    const call = this.#call;
    const takesMany = methodKind === "client_streaming" || methodKind === "bidi_streaming";
    const input = takesMany ? this.#many() : this.#decode((await this.#inbox.next()).value!);
    if (methodKind === "unary" || methodKind === "client_streaming") {
      const message = await around(call, async () => run(input, call));
      const payload = this.#encode(message);
      this.#finish(TYPE.response, 0, toBinary(ResponseSchema, create(ResponseSchema, { payload })));
      return;
    }
    for await (const message of run(input, call) as AsyncIterable<unknown>) {
      if (call.aborted !== undefined) throw call.aborted;
      this.#channel.send(this.#stream, TYPE.data, 0, this.#encode(message));
      await this.#channel.room();
    }
    this.#finish(TYPE.data, FLAG.closed | FLAG.empty);
  }

  // A response too large for its frame becomes an error: `send` throws before anything is written.
  #finish(type: number, flags: number, payload?: Uint8Array): void {
    if (this.#closed) return;
    this.#channel.send(this.#stream, type, flags, payload);
    this.#closed = true;
  }

  async *#many(): AsyncGenerator<unknown> {
    for await (const bytes of this.#inbox) yield this.#decode(bytes);
  }

  #encode(message: unknown): Uint8Array<ArrayBuffer> {
    const { output } = this.#route.method;
    return encodeAnswer(output, message);
  }

  #decode(bytes: Uint8Array): unknown {
    const { input } = this.#route.method;
    try {
      return fromBinary(input, bytes);
    } catch (cause) {
      throw new BerthError("invalid_argument", `request is not a valid ${input.typeName}`, {
        stage: "ttrpc",
        cause,
      });
    }
  }
}
