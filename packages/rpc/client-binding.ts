/** A service as a client calls it: its descriptor's methods as functions, whichever wire carries them. */
import { BerthError } from "@berth/base";
import {
  create,
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodClientStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  fromBinary,
  type Message,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";

/** Options of one call. */
export interface CallOptions {
  signal?: AbortSignal;
  /** Milliseconds until the call ends with "deadline_exceeded". */
  timeoutMs?: number;
  headers?: Readonly<Record<string, string>>;
}

/** A method as the client calls it. */
export type ClientMethod<M extends DescMethod> =
  M extends DescMethodUnary<infer I, infer O>
    ? (request: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageInitShape<I>, options?: CallOptions) => AsyncIterable<MessageShape<O>>
      : M extends DescMethodClientStreaming<infer I, infer O>
        ? (requests: AsyncIterable<MessageInitShape<I>>, options?: CallOptions) => Promise<MessageShape<O>>
        : M extends DescMethodBiDiStreaming<infer I, infer O>
          ? (
              requests: AsyncIterable<MessageInitShape<I>>,
              options?: CallOptions,
            ) => AsyncIterable<MessageShape<O>>
          : never;

/** A service's methods by their local (lowerCamelCase) names. */
export type Client<D extends DescService> = { [K in keyof D["method"]]: ClientMethod<D["method"][K]> };

/**
 * Opens a call: sends the encoded requests and yields the encoded responses. Requests given as a synchronous iterable
 * are a single message with nothing after it.
 */
export type OpenCall = (
  method: DescMethod,
  requests: [Uint8Array<ArrayBuffer>] | AsyncIterable<Uint8Array<ArrayBuffer>>,
  options: CallOptions,
) => Promise<AsyncGenerator<Uint8Array>>;

/** Clients of one connection, created on first use. */
export class ClientBinding {
  readonly #open: OpenCall;
  readonly #wire: string;
  readonly #timeoutMs: number | undefined;
  readonly #clients = new Map<DescService, unknown>();

  /** `wire`: stage of errors, "grpc"; `timeoutMs`: default deadline of unary calls. */
  constructor(wire: string, timeoutMs: number | undefined, open: OpenCall) {
    this.#wire = wire;
    this.#timeoutMs = timeoutMs;
    this.#open = open;
  }

  client<D extends DescService>(desc: D): Client<D> {
    const known = this.#clients.get(desc);
    if (known) return known as Client<D>;
    const methods: Record<string, unknown> = {};
    for (const method of desc.methods) methods[method.localName] = this.#bind(method);
    this.#clients.set(desc, methods);
    return methods as Client<D>;
  }

  #bind(method: DescMethod): unknown {
    const { input, output } = method;
    const encode = (request: unknown) => toBinary(input, create(input, request as Message));
    const many = async function* (requests: AsyncIterable<unknown>) {
      for await (const request of requests) yield encode(request);
    };
    const open = this.#open;
    const one = async (
      requests: [Uint8Array<ArrayBuffer>] | AsyncIterable<Uint8Array<ArrayBuffer>>,
      options: CallOptions = {},
    ) => {
      options.signal?.throwIfAborted();
      return fromBinary(output, await only(this.#wire, method, await open(method, requests, options)));
    };
    // Opened by the first `next()`, and closed when its reader stops early.
    const all = async function* (
      requests: () => [Uint8Array<ArrayBuffer>] | AsyncIterable<Uint8Array<ArrayBuffer>>,
      options: CallOptions = {},
    ) {
      options.signal?.throwIfAborted();
      for await (const bytes of await open(method, requests(), options)) yield fromBinary(output, bytes);
    };
    switch (method.methodKind) {
      case "unary": {
        const timeoutMs = this.#timeoutMs;
        return async (request: unknown, options?: CallOptions) =>
          one([encode(request)], timeoutMs === undefined ? options : { timeoutMs, ...options });
      }
      case "client_streaming":
        return async (requests: AsyncIterable<unknown>, options?: CallOptions) =>
          one(many(requests), options);
      case "server_streaming":
        return (request: unknown, options?: CallOptions) => all(() => [encode(request)], options);
      default:
        return (requests: AsyncIterable<unknown>, options?: CallOptions) =>
          all(() => many(requests), options);
    }
  }
}

/** The single message of a unary response, after its status was checked. */
async function only(
  wire: string,
  method: DescMethod,
  answers: AsyncGenerator<Uint8Array>,
): Promise<Uint8Array> {
  let found: Uint8Array | undefined;
  for await (const message of answers) {
    if (found !== undefined)
      throw new BerthError("internal", `${method.name} answered twice`, { stage: wire });
    found = message;
  }
  if (found === undefined)
    throw new BerthError("internal", `${method.name} answered without a message`, { stage: wire });
  return found;
}
